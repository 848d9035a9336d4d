// Types of every operation of the page and of the server, from the schema: generated/*.ts.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

import { codegen } from '@graphql-codegen/core';
import * as typedDocuments from '@graphql-codegen/typed-document-node';
import * as operations from '@graphql-codegen/typescript-operations';
import { parse } from 'graphql';

const [schemaFile] = process.argv.slice(2);
if (schemaFile === undefined) throw new Error('usage: node generate.ts SCHEMA');

const schema = parse(readFileSync(schemaFile, 'utf8'));
// Money never becomes a JavaScript number: amounts and instants are strings on the wire.
const scalars = Object.fromEntries(
  ['BigInt', 'CurrencyCode', 'DateTime', 'Decimal', 'IdempotencyKey', 'MinorUnits', 'Url'].map(
    (name) => [name, 'string'],
  ),
);

mkdirSync('generated', { recursive: true });
for (const side of ['page', 'server']) {
  const filename = `generated/${side}.ts`;
  const source = `${side}/operations.graphql`;
  const text = await codegen({
    filename,
    schema,
    documents: [{ location: source, document: parse(readFileSync(source, 'utf8')) }],
    config: {
      documentMode: 'string',
      enumsAsTypes: true,
      scalars: { ...scalars, ID: 'string', JSON: 'unknown' },
      strictScalars: true,
      useTypeImports: true,
    },
    plugins: [{ operations: {} }, { typedDocuments: {} }],
    pluginMap: { operations, typedDocuments },
  });
  writeFileSync(filename, text);
}
