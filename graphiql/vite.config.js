import { defineConfig } from 'vite';

export default defineConfig({
  base: '/graphiql/',
  // Every asset is a file of our own origin: the content security policy allows no inline script.
  build: {
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 8000,
    reportCompressedSize: false,
    rolldownOptions: {
      onwarn(warning, warn) {
        // "use client" means something to servers that render React; there is none here.
        if (warning.code !== 'MODULE_LEVEL_DIRECTIVE') warn(warning);
      },
    },
  },
  worker: { format: 'es' },
});
