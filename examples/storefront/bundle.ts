// dist/server.js runs in Node and needs nothing else; dist/page is what browsers get.
import { cpSync, rmSync } from 'node:fs';

import { build } from 'esbuild';

rmSync('dist', { recursive: true, force: true });
cpSync('public', 'dist/page', { recursive: true });
await build({
  entryPoints: ['page/main.ts'],
  outfile: 'dist/page/shop.js',
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  sourcemap: true,
});
await build({
  entryPoints: ['server/main.ts'],
  outfile: 'dist/server.js',
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node22',
  sourcemap: true,
});
