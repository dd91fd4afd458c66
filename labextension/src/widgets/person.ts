/** A person in a line of text: a dot in their colour, and words, which say all that the colour does. */

export function personNode(color: string, text: string): HTMLElement {
  const node = document.createElement("span");
  node.className = "embedenv-Person";
  const dot = document.createElement("span");
  dot.className = "embedenv-Member-color";
  dot.style.backgroundColor = color;
  dot.setAttribute("aria-hidden", "true");
  node.append(dot, text);
  return node;
}
