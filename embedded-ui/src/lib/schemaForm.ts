// Reads the plain part of a plugin's configuration schema (JSON Schema) as form fields. Anything richer than a
// flat object of texts, numbers, choices and switches is edited as JSON instead.

export type ConfigField = {
  name: string;
  label: string;
  hint: string | undefined;
  kind: 'text' | 'number' | 'integer' | 'boolean' | 'choice' | 'list';
  choices: string[];
  minimum: number | undefined;
  maximum: number | undefined;
  fallback: unknown;
};

export type Loose = Record<string, unknown>;
const isObject = (value: unknown): value is Loose =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
const figure = (value: unknown) => (typeof value === 'number' ? value : undefined);

function kindOf(property: Loose): ConfigField['kind'] | null {
  if (Array.isArray(property.enum)) {
    return property.enum.every((choice) => typeof choice === 'string') ? 'choice' : null;
  }
  if (property.type === 'string') return 'text';
  if (property.type === 'number' || property.type === 'integer' || property.type === 'boolean') {
    return property.type;
  }
  const items = property.items;
  return property.type === 'array' && isObject(items) && items.type === 'string' && !items.enum
    ? 'list'
    : null;
}

/** The fields of a flat schema; null when it needs more than this form can hold. */
export function configFields(schema: Loose | null): ConfigField[] | null {
  if (!schema || !isObject(schema.properties)) return null;
  const fields: ConfigField[] = [];
  for (const [name, property] of Object.entries(schema.properties)) {
    const kind = isObject(property) ? kindOf(property) : null;
    if (!isObject(property) || kind === null) return null;
    fields.push({
      name,
      label: text(property.title) ?? name.replaceAll('_', ' '),
      hint: text(property.description),
      kind,
      choices: Array.isArray(property.enum) ? property.enum.map(String) : [],
      minimum: figure(property.minimum),
      maximum: figure(property.maximum),
      fallback: property.default,
    });
  }
  return fields.length > 0 ? fields : null;
}
