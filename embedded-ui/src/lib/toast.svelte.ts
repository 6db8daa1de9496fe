// Short words about what just happened, shown at the foot of the page and read out by screen readers.
const SHOWN_MS = 5000;

class Toast {
  text = $state('');
  #timer: ReturnType<typeof setTimeout> | undefined;

  say(text: string): void {
    this.text = text;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.text = ''), SHOWN_MS);
  }
}

export const toast = new Toast();
