// The page's own elements, and new ones; text only ever enters as text.
export const byId = (id) => document.getElementById(id);

/** Set text only where it changed, so that screen readers speak of changes only. */
export function say(id, text) {
  const node = byId(id);
  if (node.textContent !== text) node.textContent = text;
}

/** Set or take away a data attribute of a node. */
export function mark(node, name, value) {
  if (value === undefined || value === false || value === "") delete node.dataset[name];
  else node.dataset[name] = value === true ? "" : value;
}

export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Copy text; pages that came without TLS have no clipboard, there the text is selected for the user. */
export async function copy(text, shown) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return true;
  }
  getSelection().selectAllChildren(shown);
  return false;
}

/** Wire a button that copies a text, by default what a node shows. */
export function copies(button, shown, text = () => shown.textContent) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text(), shown)) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.textContent = label; }, 1500);
  });
}
