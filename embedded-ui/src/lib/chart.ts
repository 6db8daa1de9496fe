// What all charts look like: the theme's colours, small axes, no legend of the library's own.
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

export const short = (value: number): string =>
  Intl.NumberFormat(undefined, { notation: 'compact' }).format(value);

/** The parts that charts share; `names` turns places on the x axis into words, `amount` those on the y axis. */
export function look(
  style: CSSStyleDeclaration,
  size: { width: number; height: number },
  names: (at: number[]) => string[],
  amount = short,
): Omit<uPlot.Options, 'series'> & { accent: string } {
  const soft = style.getPropertyValue('--text-soft');
  const line = style.getPropertyValue('--line');
  const axis = { stroke: soft, font: `11px ${style.getPropertyValue('--font')}`, ticks: { show: false } };
  return {
    ...size,
    accent: style.getPropertyValue('--accent'),
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 8, 0, 0],
    scales: { x: { time: false }, y: { range: (_, __, most) => [0, Math.max(10, most * 1.1)] } },
    axes: [
      { ...axis, grid: { show: false }, size: 22, space: 70, values: (_, at) => names(at) },
      { ...axis, grid: { stroke: line, width: 1 }, size: 50, space: 30, values: (_, at) => at.map(amount) },
    ],
  };
}

/** Keeps a chart in a node: made by `make`, as wide as the node, until the returned function is called. */
export function hold(
  node: HTMLElement,
  height: number,
  make: () => uPlot,
): { chart: uPlot; end: () => void } {
  const chart = make();
  const observer = new ResizeObserver(() => chart.setSize({ width: node.clientWidth, height }));
  observer.observe(node);
  return {
    chart,
    end: () => {
      observer.disconnect();
      chart.destroy();
    },
  };
}
