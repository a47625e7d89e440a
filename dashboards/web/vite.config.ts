import { defineConfig } from "vite";
import solid from "vite-plugin-solid";

// The built files are committed and embedded in the binary (ADR 004), so names carry no hash of the
// machine that built them and nothing is minified in a way that changes between runs.
export default defineConfig({
  plugins: [solid()],
  // All addresses start at the document's base, which the server writes.
  base: "./",
  build: {
    outDir: "../serve/dist",
    emptyOutDir: true,
    target: "es2022",
    sourcemap: false,
    reportCompressedSize: false,
    rollupOptions: {
      output: {
        entryFileNames: "assets/[name].js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
  server: { proxy: { "/api": "http://127.0.0.1:9090" } },
});
