// The colour theme: the system's, unless the reader chose one. `public/theme.js` applies it before the
// first paint.
export type Theme = 'auto' | 'light' | 'dark';

const KEY = 'resoftai.theme';

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : 'auto';
  } catch {
    return 'auto';
  }
}

class ThemeChoice {
  choice = $state<Theme>(stored());
  #system = $state(matchMedia('(prefers-color-scheme: dark)').matches);
  dark = $derived(this.choice === 'auto' ? this.#system : this.choice === 'dark');

  constructor() {
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', (event) => {
      this.#system = event.matches;
    });
  }

  set(choice: Theme): void {
    this.choice = choice;
    if (choice === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // Storage may be switched off: the choice then lasts as long as the page.
    }
  }
}

export const theme = new ThemeChoice();
