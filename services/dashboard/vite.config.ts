import { defineConfig } from "vite";

/** Everything the page needs is in `dist`: it works without any other host. Files carry a hash in their names, so they may be kept for good. */
export default defineConfig({
  base: "./",
  build: { outDir: "dist", emptyOutDir: true, target: "es2022", assetsInlineLimit: 0, sourcemap: false, reportCompressedSize: false },
  server: { proxy: { "/v1": process.env["GANTRY_API"] ?? "http://127.0.0.1:2385" } },
});
