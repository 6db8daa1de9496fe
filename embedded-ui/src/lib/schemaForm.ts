// Reads a JSON Schema of settings as form fields: texts, secrets, numbers, switches, choices, lists of words, and groups
// of those. What is richer becomes a field of JSON, by itself, so that the rest of the form stays one.

export type Loose = Record<string, unknown>;
/** What the server shows in the place of a secret, and what keeps it when it is sent back. */
export const SECRET_SET = '(set)';

type Kind =
  'text' | 'secret' | 'number' | 'integer' | 'boolean' | 'choice' | 'choices' | 'list' | 'group' | 'json';
export type SchemaField = {
  name: string;
  /** As an error of the server names it, such as `config.mail.host`. */
  path: string;
  label: string;
  hint: string | undefined;
  kind: Kind;
  required: boolean;
  choices: { value: unknown; label: string }[];
  /** Of a number, or of a text's length. */
  least: number | undefined;
  most: number | undefined;
  /** What counts where nothing is set. */
  fallback: unknown;
  /** Of a group. */
  fields: SchemaField[];
};

/** Deeper than this a form is no help. */
const DEEPEST = 3;

export const isObject = (value: unknown): value is Loose =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
const figure = (value: unknown) => (typeof value === 'number' ? value : undefined);
const isPlain = (value: unknown) => ['string', 'number', 'boolean'].includes(typeof value);

/** The one type that is not null. */
function typeOf(rule: Loose): string | undefined {
  const types = (Array.isArray(rule.type) ? rule.type : [rule.type]).filter((type) => type !== 'null');
  return types.length === 1 ? text(types[0]) : undefined;
}

/** The values there are to choose from: of `enum`, or of constants that have titles. */
function choicesOf(rule: Loose): SchemaField['choices'] {
  if (Array.isArray(rule.enum)) {
    const values = rule.enum.filter((value) => value !== null);
    return values.every(isPlain) ? values.map((value) => ({ value, label: String(value) })) : [];
  }
  const one = Array.isArray(rule.oneOf) ? rule.oneOf : [];
  if (!one.every((choice) => isObject(choice) && isPlain(choice.const))) return [];
  return (one as Loose[]).map((choice) => ({
    value: choice.const,
    label: text(choice.title) ?? String(choice.const),
  }));
}

const isSecret = (rule: Loose) =>
  rule.writeOnly === true || rule.format === 'password' || rule.secret === true;

function kindOf(rule: Loose, depth: number): Kind {
  const type = typeOf(rule);
  if (rule.anyOf || rule.allOf || rule.not || rule.if || rule.$ref) return 'json';
  if (choicesOf(rule).length > 0) return 'choice';
  if (rule.oneOf) return 'json';
  if (type === 'string') return isSecret(rule) ? 'secret' : 'text';
  if (type === 'number' || type === 'integer' || type === 'boolean') return type;
  if (type === 'array' && isObject(rule.items)) {
    if (choicesOf(rule.items).length > 0) return 'choices';
    return rule.items.type === 'string' ? 'list' : 'json';
  }
  const grouped = type === 'object' && isObject(rule.properties) && depth < DEEPEST;
  return grouped ? 'group' : 'json';
}

/** The fields of a schema's object; null when it has none that are named. `place`: what the whole is called. */
export function schemaFields(schema: Loose | null, place: string, depth = 0): SchemaField[] | null {
  if (!schema || !isObject(schema.properties)) return null;
  const required = Array.isArray(schema.required) ? schema.required : [];
  const fields = Object.entries(schema.properties).map(([name, given]): SchemaField => {
    const rule = isObject(given) ? given : {};
    const kind = kindOf(rule, depth);
    const path = `${place}.${name}`;
    const items = isObject(rule.items) ? rule.items : {};
    const words = name.replaceAll('_', ' ');
    return {
      name,
      path,
      label: text(rule.title) ?? words.charAt(0).toUpperCase() + words.slice(1),
      hint: text(rule.description),
      kind,
      required: required.includes(name),
      choices: choicesOf(kind === 'choices' ? items : rule),
      least: figure(rule.minimum ?? rule.minLength),
      most: figure(rule.maximum ?? rule.maxLength),
      fallback: rule.default,
      fields: kind === 'group' ? (schemaFields(rule, path, depth + 1) ?? []) : [],
    };
  });
  return fields.length > 0 ? fields : null;
}

/** Values to fill in: every group is there. Nothing else is set that was not. */
export function startValues(fields: SchemaField[], start: Loose): Loose {
  const values: Loose = { ...start };
  for (const field of fields) {
    const value = values[field.name];
    if (field.kind === 'group') values[field.name] = startValues(field.fields, isObject(value) ? value : {});
    else if (field.kind === 'json')
      values[field.name] = value === undefined ? '' : JSON.stringify(value, null, 2);
  }
  return values;
}

const isNothing = (value: unknown) => value === undefined || value === null || value === '';

/** What was filled in; what was left empty is not set. `refuse` is called with the field whose JSON is none. */
export function filledIn(
  fields: SchemaField[],
  values: Loose,
  refuse: (field: SchemaField, why: string) => never,
): Loose {
  const result: Loose = { ...values };
  for (const field of fields) {
    const value = values[field.name];
    if (isNothing(value)) delete result[field.name];
    else if (field.kind === 'json') result[field.name] = parsed(field, String(value), refuse);
    else if (field.kind === 'group') {
      const inner = filledIn(field.fields, value as Loose, refuse);
      if (Object.keys(inner).length > 0 || field.required) result[field.name] = inner;
      else delete result[field.name];
    }
  }
  return result;
}

function parsed(
  field: SchemaField,
  json: string,
  refuse: (field: SchemaField, why: string) => never,
): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    return refuse(field, cause instanceof Error ? cause.message : String(cause));
  }
}

/** Whether a field of this path is among the fields. */
export const hasField = (fields: SchemaField[], path: string): boolean =>
  fields.some((field) => (field.path === path && field.kind !== 'group') || hasField(field.fields, path));

/** The field that an error is shown at: the one it names, or the one around what it names. */
export function fieldAt(fields: SchemaField[], path: string): string | null {
  for (let at = path; at.includes('.'); at = at.slice(0, at.lastIndexOf('.'))) {
    if (hasField(fields, at)) return at;
  }
  return null;
}

/** A value in a word or two, for what counts where nothing is set. */
export function inWords(value: unknown): string {
  if (value === true) return 'on';
  if (value === false) return 'off';
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.map(inWords).join(', ');
  return isObject(value) ? JSON.stringify(value) : String(value);
}
