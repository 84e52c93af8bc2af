// Dark or light: as the system says, until somebody chooses.
import { byId } from "./dom.js";

const root = document.documentElement;
const light = matchMedia("(prefers-color-scheme: light)");
const present = () => root.dataset.theme ?? (light.matches ? "light" : "dark");
const other = () => (present() === "dark" ? "light" : "dark");

function show() {
  byId("theme").textContent = other() === "light" ? "Light" : "Dark";
}

export function themes() {
  const chosen = localStorage.getItem("octostream-theme");
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = other();
    localStorage.setItem("octostream-theme", root.dataset.theme);
    show();
  });
  light.addEventListener("change", show);
  show();
}
