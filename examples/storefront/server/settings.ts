// What the shop's server must know, read once at its start.
import { readFileSync } from 'node:fs';

export interface Settings {
  /** Where this shop is: scheme, host and port, exactly as the gateway allows it. */
  origin: string;
  /** Where Counterfoil is. */
  gateway: string;
  /** Opens everything: it stays in this process. */
  serverKey: string;
}

export function readSettings(environment: NodeJS.ProcessEnv): Settings {
  return {
    origin: originOf(environment['SHOP_ORIGIN'] ?? 'http://127.0.0.1:8002'),
    gateway: originOf(environment['COUNTERFOIL_URL'] ?? 'http://127.0.0.1:8000'),
    serverKey: environment['SHOP_SERVER_KEY'] ?? readKey(environment['SHOP_SERVER_KEY_FILE']),
  };
}

function originOf(url: string): string {
  return new URL(url).origin;
}

function readKey(file: string | undefined): string {
  if (file === undefined) throw new Error('set SHOP_SERVER_KEY or SHOP_SERVER_KEY_FILE');
  return readFileSync(file, 'utf8').trim();
}
