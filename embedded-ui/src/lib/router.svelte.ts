// The address bar as state, and same-origin links as moves inside the page.
import { match } from './routes';

class Router {
  path = $state(location.pathname);
  search = $state(location.search);
  hash = $state(location.hash);
  /** Counts moves; the first page keeps the browser's own focus. */
  moves = $state(0);
  route = $derived(match(this.path));
  query = $derived(new URLSearchParams(this.search));

  constructor() {
    addEventListener('popstate', () => this.#read());
    document.addEventListener('click', (event) => this.#click(event));
  }

  go(href: string, options: { replace?: boolean; keepScroll?: boolean } = {}): void {
    if (options.replace) history.replaceState(null, '', href);
    else history.pushState(null, '', href);
    this.#read();
    if (!options.keepScroll && location.hash === '') scrollTo(0, 0);
  }

  #read(): void {
    if (this.path !== location.pathname) this.moves += 1;
    this.path = location.pathname;
    this.search = location.search;
    this.hash = location.hash;
  }

  #click(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.target !== '' || link.hasAttribute('download')) return;
    if (link.origin !== location.origin || /^\/(api|v1)\//.test(link.pathname)) return;
    if (link.pathname === location.pathname && link.hash !== '') return;
    event.preventDefault();
    this.go(link.href, { keepScroll: link.dataset.keepScroll !== undefined });
  }
}

export const router = new Router();
