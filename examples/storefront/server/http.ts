// The little of HTTP that the shop needs.
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Settings } from './settings.ts';

const BODY_BYTES_MAX = 16_384;

/** A refusal with its status; the message is for the page. */
export class HttpProblem extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Every answer says what the page may do: scripts of ours, and calls to us and to Counterfoil. */
export function secure(response: ServerResponse, settings: Settings): void {
  const gateway = `${settings.gateway} ${settings.gateway.replace(/^http/, 'ws')}`;
  response.setHeader(
    'content-security-policy',
    `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; ` +
      `connect-src 'self' ${gateway}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
  );
  response.setHeader('x-content-type-options', 'nosniff');
  response.setHeader('referrer-policy', 'no-referrer');
  response.setHeader('cache-control', 'no-store');
}

/** The members of a JSON object that one of our own pages sent; raises HttpProblem. */
export async function bodyOf(request: IncomingMessage, origin: string): Promise<JsonObject> {
  if (request.headers.origin !== origin) throw new HttpProblem(403, 'Not from this page.');
  if (!request.headers['content-type']?.startsWith('application/json')) {
    throw new HttpProblem(415, 'Send JSON.');
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_BYTES_MAX) throw new HttpProblem(413, 'That is too much.');
    chunks.push(chunk);
  }
  try {
    return Object(JSON.parse(Buffer.concat(chunks).toString('utf8'))) as JsonObject;
  } catch {
    throw new HttpProblem(400, 'That is not JSON.');
  }
}

export type JsonObject = Record<string, unknown>;

export function send(response: ServerResponse, status: number, content: unknown): void {
  response.statusCode = status;
  response.setHeader('content-type', 'application/json; charset=utf-8');
  response.end(JSON.stringify(content));
}

export interface Page {
  type: string;
  content: Buffer;
}

/** The files of the page, read once: what is not listed here does not exist. */
export function readPages(folder: URL, settings: Settings): Map<string, Page> {
  const types: [string, string][] = [
    ['index.html', 'text/html; charset=utf-8'],
    ['shop.js', 'text/javascript; charset=utf-8'],
    ['shop.js.map', 'application/json'],
    ['shop.css', 'text/css; charset=utf-8'],
    ['icon.svg', 'image/svg+xml'],
    ['notebook.svg', 'image/svg+xml'],
    ['mug.svg', 'image/svg+xml'],
    ['stamp.svg', 'image/svg+xml'],
  ];
  const pages = types.map(([name, type]): [string, Page] => {
    const content = readFileSync(new URL(name, folder));
    return [
      `/${name}`,
      { type, content: name === 'index.html' ? filled(content, settings) : content },
    ];
  });
  return new Map(pages);
}

/** The page learns where the gateway is from the address its own server was told. */
function filled(html: Buffer, settings: Settings): Buffer {
  return Buffer.from(html.toString('utf8').replace('{{gateway}}', settings.gateway));
}
