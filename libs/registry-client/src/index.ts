export type { Credentials } from "./auth.ts";
export { RegistryClient, type ManifestAnswer, type TransferOptions } from "./client.ts";
export { registryFault, type RegistryFault } from "./errors.ts";
export { connectRegistry, type RegistryPolicy } from "./resolve.ts";
export type { Endpoint } from "./transport.ts";
export type { UploadOptions, UploadSource } from "./upload.ts";
