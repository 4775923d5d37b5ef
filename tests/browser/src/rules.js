// The body of a function that returns the rules which the page breaks, each as a text that names the element. The
// rules are those of WCAG 2.2, level AA, which a script can check. (axe-core has more, but its licence is not among
// those that deny.toml allows.)
const broken = [];
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const name = (element) => {
  const text = element.outerHTML.replace(/\s+/g, " ");
  return text.length > 160 ? text.slice(0, 160) + "…" : text;
};
const check = (holds, rule, element) => { if (!holds) broken.push(element ? `${rule}: ${name(element)}` : rule); };
const isShown = (element) =>
  element.checkVisibility({ visibilityProperty: true }) && !element.closest("[aria-hidden=true]");
const text = (element) => (element.textContent ?? "").trim();
const byIds = (element, attribute) =>
  (element.getAttribute(attribute) ?? "").split(/\s+/).filter((id) => id).map((id) => document.getElementById(id));
const hasName = (element) => (element.getAttribute("aria-label") ?? "").trim() !== ""
  || byIds(element, "aria-labelledby").some((label) => label && text(label) !== "");

// The document.
check(document.documentElement.lang !== "", "the page has a language");
check(document.title.trim() !== "", "the page has a title");
check(document.querySelector("meta[name=viewport]"), "the page has a viewport for phones");
const { scrollWidth, clientWidth } = document.documentElement;
check(scrollWidth <= clientWidth, `the page is no wider than the screen (${scrollWidth} > ${clientWidth})`);

// Ids.
const ids = new Set();
for (const element of all("[id]")) {
  check(!ids.has(element.id), "an id is unique", element);
  ids.add(element.id);
}
for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls"]) {
  for (const element of all(`[${attribute}]`)) {
    check(byIds(element, attribute).every((other) => other), `${attribute} names an element`, element);
  }
}
for (const label of all("label[for]")) check(label.control, "a label has its input", label);

// Headings and landmarks.
const headings = all("h1, h2, h3, h4, h5, h6").filter(isShown);
check(headings.filter((heading) => heading.tagName === "H1").length === 1, "the page has one h1");
let level = 0;
for (const heading of headings) {
  const next = Number(heading.tagName[1]);
  check(next <= level + 1, "headings leave out no level", heading);
  check(text(heading) !== "", "a heading has a text", heading);
  level = next;
}
check(all("main").length === 1, "the page has one main");
for (const nav of all("nav")) check(hasName(nav), "a nav has a name", nav);
for (const element of all("body > *").filter(isShown)) {
  const inLandmark = element.matches("header, nav, main, footer, aside, script, .skip, [role=status], [role=alert]");
  check(inLandmark, "what is shown is in a landmark", element);
}
const skip = document.querySelector("body a");
check(skip?.hash && document.getElementById(skip.hash.slice(1)), "the first link skips to the content");

// Inputs, buttons, links and pictures have names.
for (const input of all("input:not([type=hidden]), select, textarea").filter(isShown)) {
  check(hasName(input) || [...(input.labels ?? [])].some((label) => text(label) !== ""), "an input has a label", input);
  if (input.getAttribute("aria-invalid") === "true") {
    check(input.getAttribute("aria-describedby"), "a wrong input says why", input);
  }
}
for (const element of all("button, a[href], summary").filter(isShown)) {
  check(hasName(element) || text(element) !== "", "it has a text", element);
  const box = element.getBoundingClientRect();
  const isInText = getComputedStyle(element).display === "inline";
  const isLarge = box.width >= 24 && box.height >= 24;
  check(isInText || isLarge || element.matches(".skip"), "it is large enough to be hit", element);
}
for (const image of all("img")) check(image.hasAttribute("alt"), "an image has a text", image);
for (const svg of all("svg").filter(isShown)) {
  const isNamed = hasName(svg) || svg.querySelector(":scope > title");
  check(svg.getAttribute("role") === "img" && isNamed, "a picture has a name", svg);
}
for (const element of all("[tabindex]")) {
  check(element.tabIndex <= 0, "the order of focus is that of the page", element);
}
for (const group of all("fieldset")) check(group.querySelector("legend"), "a group of inputs has a name", group);
for (const section of all("section")) {
  check(hasName(section) || section.querySelector("h2, h3, h4"), "a section has a name", section);
}

// Tables and lists.
for (const table of all("table").filter(isShown)) {
  check(table.caption ? text(table.caption) !== "" : hasName(table), "a table has a name", table);
  check(table.querySelector("th"), "a table has headers", table);
  for (const header of all("th", table)) check(header.scope !== "", "a header says what for", header);
}
for (const item of all("li")) check(item.parentElement.matches("ul, ol"), "an item is in a list", item);
for (const term of all("dt, dd")) check(term.closest("dl"), "a term is in a list", term);

// Contrast of text.
const parse = (colour) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
  return [red, green, blue, alpha / 255];
};
const cache = new Map();
const rgba = (colour) => cache.get(colour) ?? cache.set(colour, parse(colour)).get(colour);
const over = ([r, g, b, a], [red, green, blue]) =>
  [r * a + red * (1 - a), g * a + green * (1 - a), b * a + blue * (1 - a), 1];
const canvas = () => (matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1]);
const background = (element) => {
  const layers = [];
  for (let one = element; one; one = one.parentElement) {
    const colour = rgba(getComputedStyle(one).backgroundColor);
    if (colour[3] > 0) layers.push(colour);
    if (colour[3] === 1) break;
  }
  return layers.reduceRight((below, layer) => over(layer, below), canvas());
};
// In a drawing, the last shape before the text that contains its middle is behind it.
const behind = (label) => {
  const svg = label.closest("svg");
  const box = label.getBoundingClientRect();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  const shapes = all("rect", svg).filter((shape) => {
    const area = shape.getBoundingClientRect();
    const before = shape.compareDocumentPosition(label) & Node.DOCUMENT_POSITION_FOLLOWING;
    return before && area.left <= x && x <= area.right && area.top <= y && y <= area.bottom;
  });
  const fill = shapes.map((shape) => getComputedStyle(shape).fill).filter((colour) => colour !== "none").pop();
  return fill ? over(rgba(fill), background(svg)) : background(svg);
};
const luminance = (colour) => {
  const [red, green, blue] = colour.slice(0, 3).map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const contrast = (one, other) => {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
};
const hasOwnText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "");
let texts = 0;
for (const element of all("body *, input")) {
  if (!isShown(element) || element.closest("[disabled], title, desc, .skip:not(:focus)")) continue;
  if (!hasOwnText(element) && !(element.matches("input, textarea, select") && element.value)) continue;
  const style = getComputedStyle(element);
  const isDrawn = element instanceof SVGElement;
  const below = isDrawn ? behind(element) : background(element);
  const colour = over(rgba(isDrawn ? style.fill : style.color), below);
  let opacity = 1;
  for (let one = element; one; one = one.parentElement) opacity *= Number(getComputedStyle(one).opacity);
  const ratio = contrast(over([...colour.slice(0, 3), opacity], below), below);
  check(ratio >= 4.5, `text has a contrast of 4.5 (not ${ratio.toFixed(2)})`, element);
  texts += 1;
}
check(texts > 0, "the page has text");
return broken;
