// Words and tones of plugins.
import type { Plugin } from './api/types';
import type { Tone } from './format';

const TONES: Record<Plugin['status'], Tone> = { active: 'good', disabled: 'neutral', failed: 'bad' };

export const pluginTone = (status: Plugin['status']): Tone => TONES[status];
