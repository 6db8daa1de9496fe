/** Types of `resoftai.js`, for editors. */

export class HostError extends Error {}

export const log: Record<"debug" | "info" | "warning" | "error", (message: unknown) => void>;

export const kv: {
  get<T = unknown>(key: string, otherwise?: T): T;
  set(key: string, value: unknown): void;
  delete(key: string): void;
  keys(prefix?: string): string[];
};

export const files: {
  list(pattern?: string): string[];
  read(path: string): Uint8Array;
  readText(path: string): string;
  write(path: string, content: string | Uint8Array): void;
  delete(path: string): void;
};

export const ownFiles: {
  list(): string[];
  read(path: string): Uint8Array;
  readText(path: string): string;
};

export interface Request {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  json?: unknown;
  timeoutMs?: number;
}

export interface Reply {
  status: number;
  headers: Record<string, string>;
  body: Uint8Array;
  text(): string;
  json(): any;
}

export interface OpenReply {
  status: number;
  headers: Record<string, string>;
  chunks(): Generator<Uint8Array, void>;
  lines(): Generator<string, void>;
  text(): string;
  close(): void;
}

export const http: Record<"request" | "get" | "post", (url: string, options?: Request) => Reply> & {
  stream(url: string, options?: Request): OpenReply;
};

export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface Asking {
  maxTokens?: number;
  temperature?: number;
}

export const llm: {
  chat(messages: Message[], options?: Asking): { content: string; model: string; usage: Record<string, number> };
  complete(prompt: string, options?: Asking): string;
};

export class Hooks {
  action(name: string, told: (payload: any) => unknown, priority?: number): void;
  filter(name: string, asked: (value: any) => unknown, priority?: number): void;
}

export class Plugin {
  readonly manifest: Record<string, any>;
  readonly config: Record<string, any>;
  readonly hooks: Hooks;
  constructor(manifest: object, config: object);
  get toolName(): string | undefined;
  get configSchema(): object | undefined;
  activate(): void | Promise<void>;
  deactivate(): void | Promise<void>;
}

export class AgentPlugin extends Plugin {
  get systemPrompt(): string;
  get responsibleStages(): string[];
}

export interface Question {
  model: string;
  prompt: string;
  system_prompt?: string;
  messages: Message[];
  max_tokens: number;
  temperature?: number;
  top_p?: number;
  stop?: string | string[];
}

export class LLMProviderPlugin extends Plugin {
  listModels(): null | (string | { name: string; context_length?: number })[] | Promise<any>;
}

export class IntegrationPlugin extends Plugin {}

export class WorkflowPlugin extends Plugin {
  getWorkflowName(): string;
}

export class CodeQualityPlugin extends Plugin {}

export class TemplatePlugin extends Plugin {
  getTemplateVariables(): object | null;
}
