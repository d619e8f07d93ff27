import { fail } from "@gantry/contracts";

export interface SecurityOptions {
  /** As {@link ContainerSpec.seccomp}: true default, false unconfined, or a profile's JSON text. */
  readonly seccomp: boolean | string;
  readonly noNewPrivileges: boolean;
  readonly systemPathsUnconfined: boolean;
  /** `userns=private`: a user namespace of its own (`HostConfig.UsernsMode` can say it too, the docker command cannot). */
  readonly userNamespace: boolean;
}

/** `--security-opt`. AppArmor and SELinux labels have no effect where the host has neither; a profile arrives as its JSON text from the client. */
export function readSecurityOptions(options: readonly string[], privileged: boolean): SecurityOptions {
  let seccomp: boolean | string = !privileged;
  let noNewPrivileges = false;
  let systemPathsUnconfined = false;
  let userNamespace = false;
  for (const option of options) {
    const match = /^([a-z-]+)(?:[=:]([\s\S]*))?$/.exec(option);
    const value = match?.[2] ?? "";
    switch (match?.[1]) {
      case "no-new-privileges":
        if (!["", "true", "false"].includes(value)) throw fail("INVALID", `invalid --security-opt 2: "${option}"`);
        noNewPrivileges = value !== "false";
        break;
      case "seccomp":
        if (value === "unconfined") seccomp = false;
        else if (value === "builtin" || value === "") seccomp = true;
        else seccomp = profile(value);
        break;
      case "systempaths":
        if (value !== "unconfined") throw fail("INVALID", `invalid --security-opt 2: "${option}"`);
        systemPathsUnconfined = true;
        break;
      case "userns":
        if (value !== "private" && value !== "host") throw fail("INVALID", `invalid --security-opt 2: "${option}"`);
        userNamespace = value === "private";
        break;
      case "apparmor": case "label": case "writable-cgroups":
        break;
      default:
        throw fail("INVALID", `invalid --security-opt 2: "${option}"`);
    }
  }
  return { seccomp, noNewPrivileges, systemPathsUnconfined, userNamespace };
}

function profile(text: string): string {
  try {
    JSON.parse(text);
    return text;
  } catch (cause) {
    throw fail("INVALID", `Decoding seccomp profile failed: ${(cause as Error).message}`, { cause });
  }
}
