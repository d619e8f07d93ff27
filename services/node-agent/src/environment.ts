import { Addresses } from "@gantry/contracts";
import { HostInstance } from "@gantry/network";
import { Type as T } from "typebox";
import { Config } from "./module.ts";

export const Environment = T.Object({ busUrl: Addresses.busUrl, cacheUrl: Addresses.cacheUrl, imageStore: Addresses.imageStore, ...Config.properties, instance: HostInstance });
