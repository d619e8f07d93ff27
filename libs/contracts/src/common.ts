import { Type as T, type TSchema } from "typebox";

export const Id = T.String({ pattern: "^[0-9a-f]{64}$", description: "64 hex digits" });
export const Digest = T.String({ pattern: "^sha256:[0-9a-f]{64}$" });
/** A reference as the user typed it: name, name:tag, name@digest, ID or unique ID prefix. */
export const Ref = T.String({ minLength: 1, maxLength: 1024 });
export const Empty = T.Object({});
export const Nullable = <S extends TSchema>(schema: S) => T.Union([schema, T.Null()]);
export const StringMap = T.Record(T.String(), T.String());
/** Docker list filters, as in the `filters` query parameter, normalised to name → values. */
export const Filters = T.Record(T.String(), T.Array(T.String()));
/** Something in Docker's own shape that this service passes on and does not read. */
export const Opaque = T.Record(T.String(), T.Unknown());
