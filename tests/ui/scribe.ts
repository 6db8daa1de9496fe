// A model server for runs that need no real model.
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { type Page } from '@playwright/test';
import { ask } from './site';

/** A model server: its developer writes a file, its reviewer approves. */
function scribe(model: string): Promise<Server> {
  const words = (system: string) => {
    if (system.startsWith('You are the developer')) return 'src/bell.txt\n```\nring\n```\n';
    if (system.startsWith('You are the test engineer')) return 'tests/bell.txt\n```\nheard\n```\n';
    return 'All is well.\n\nApproved.';
  };
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (piece) => (body += piece));
    request.on('end', () => {
      if (request.method === 'GET') {
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ object: 'list', data: [{ id: model, meta: { n_ctx: 8192 } }] }));
        return;
      }
      const content = words(JSON.parse(body).messages?.[0]?.content ?? '');
      const usage = { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 };
      const frame = (choices: object[], more = {}) =>
        `data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model, choices, ...more })}\n\n`;
      response.setHeader('content-type', 'text/event-stream');
      response.write(frame([{ index: 0, delta: { role: 'assistant', content }, finish_reason: null }]));
      response.write(frame([{ index: 0, delta: {}, finish_reason: 'stop' }]));
      response.end(`${frame([], { usage })}data: [DONE]\n\n`);
    });
  });
  return new Promise((ready) => server.listen(0, '127.0.0.1', () => ready(server)));
}

/** The server of one model: where it answers, and the function that ends it. */
export async function listening(model: string): Promise<{ host: string; close: () => void }> {
  const server = await scribe(model);
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

/** Gives an organisation a model of its own, by a name that nothing else on the site has; the function that ends it. */
export async function withScribe(page: Page, organization_id: number, model: string): Promise<() => void> {
  const { host, close } = await listening(model);
  const provider = {
    name: `${model}-server`,
    base_url: `http://${host}/v1`,
    organization_id,
    models: [model],
  };
  await ask(page, 'POST', '/api/llm/providers', provider);
  return close;
}
