import { Addresses } from "@gantry/contracts";
import { Type as T } from "typebox";
import { Config } from "./module.ts";

export const Environment = T.Object({ busUrl: Addresses.busUrl, ...Config.properties });
