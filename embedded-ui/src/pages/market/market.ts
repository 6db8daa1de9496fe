// What the marketplace's pages share: how a version stands to what is installed, and what a package's texts and pictures
// become on a page.
import { compareVersions } from 'compare-versions';
import type { MarketListing } from '../../lib/api/types';
import { number } from '../../lib/format';
import { OWNERS } from '../site/mirror';

export const SOURCES: Record<MarketListing['source'], string> = {
  vendor: OWNERS.vendor,
  own: OWNERS.own,
  site: 'Published on this site',
};

/** The kinds that a plugin can be of; docs/plugins/manifest.md. */
export const CATEGORIES = [
  'agent',
  'llm_provider',
  'code_quality',
  'integration',
  'template',
  'generator',
  'workflow',
  'ui',
  'utility',
];

export const stars = (rating: number | null, ratings: number): string =>
  rating === null
    ? ''
    : `${rating.toFixed(1)} of 5 (${number(ratings)} ${ratings === 1 ? 'rating' : 'ratings'})`;

export type Change = 'install' | 'update' | 'back';

/** What installing a version would be; null when it is installed. */
export function changeTo(version: string, installed: string | null): Change | null {
  if (installed === null) return 'install';
  if (installed === version) return null;
  return compareVersions(version, installed) < 0 ? 'back' : 'update';
}

const parted = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

export const pictureAddress = (slug: string, version: string, path: string): string =>
  `/api/marketplace/plugins/${slug}/${encodeURIComponent(version)}/pictures/${parted(path)}`;

/** What a picture shows, as far as its name tells: `shots/all-findings.png` becomes `all findings`. */
export function pictureName(path: string): string {
  const file = path.split('/').at(-1) ?? path;
  return file.replace(/\.[^.]*$/, '').replace(/[-_]+/g, ' ');
}

/** Sanitised HTML with its headings `by` levels lower, so that they stand below those of the page. */
export const lowered = (html: string, by: number): string =>
  html.replace(
    /<(\/?)h([1-6])(?=[\s>])/g,
    (_, slash: string, level: string) => `<${slash}h${Math.min(6, Number(level) + by)}`,
  );

export const installs = (count: number): string =>
  count === 0 ? 'Not installed yet' : `${number(count)} ${count === 1 ? 'installation' : 'installations'}`;
