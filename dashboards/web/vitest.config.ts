import { defineConfig } from "vitest/config";

// Pure modules only: what a browser does is tested in a real one (e2e/).
export default defineConfig({ test: { environment: "node", include: ["src/**/*.test.ts"] } });
