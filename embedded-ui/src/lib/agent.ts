// What a browser or program calls itself, in words for a list of sessions. A guess: the text is the client's own.

const BROWSERS: [RegExp, string][] = [
  [/\bEdg\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\bFirefox\//, 'Firefox'],
  [/Chrom(e|ium)\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
];
const SYSTEMS: [RegExp, string][] = [
  [/\bAndroid\b/, 'Android'],
  [/\b(iPhone|iPad)\b/, 'iOS'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b/, 'macOS'],
  [/\bLinux\b/, 'Linux'],
];

const find = (names: [RegExp, string][], agent: string) =>
  names.find(([pattern]) => pattern.test(agent))?.[1];

export function agentName(agent: string | null): string {
  if (!agent) return 'Unknown program';
  const browser = find(BROWSERS, agent);
  if (!browser) return agent.length > 40 ? `${agent.slice(0, 39)}…` : agent;
  const system = find(SYSTEMS, agent);
  return system ? `${browser} on ${system}` : browser;
}
