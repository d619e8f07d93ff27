import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app.tsx";
import { Live } from "./live/connection.ts";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no element with the ID root");
createRoot(root).render(<StrictMode><App live={new Live("v1/live")} /></StrictMode>);
