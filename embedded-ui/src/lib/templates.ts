// Variables of a template as a JSON Schema, so that the form of settings asks for them as well.
import type { TemplateVariable } from './api/types';
import { words } from './format';
import type { Loose } from './schemaForm';

export function schemaOf(variables: TemplateVariable[]): Loose {
  const rule = ({ name, type, description, default: fallback, choices }: TemplateVariable): Loose => ({
    title: words(name),
    ...(type === 'choice' ? { enum: choices } : { type }),
    ...(description ? { description } : {}),
    ...(fallback === null ? {} : { default: fallback }),
  });
  return {
    type: 'object',
    properties: Object.fromEntries(variables.map((variable) => [variable.name, rule(variable)])),
    required: variables.filter(({ required }) => required).map(({ name }) => name),
  };
}
