// Icons by their Material Symbols names, drawn with the font that Streamlit brings.

const FONT = "'Material Symbols Rounded'";
const SIZE = 40;
const images = new Map();
let loading = null;

/** Resolves to whether the icon font can be used. */
export function iconsReady() {
  loading ??= document.fonts.load(`${SIZE}px ${FONT}`, "smart_toy").then((faces) => faces.length > 0, () => false);
  return loading;
}

/** The icon `name` in `color` as an image address; empty when the font has no such icon. */
export function iconImage(name, color) {
  const plain = String(name).replace(/^:material\/|:$/g, "");
  const key = `${plain} ${color}`;
  if (!images.has(key)) images.set(key, draw(plain, color));
  return images.get(key);
}

function draw(name, color) {
  const canvas = document.createElement("canvas");
  canvas.width = SIZE;
  canvas.height = SIZE;
  const pen = canvas.getContext("2d");
  pen.font = `${SIZE}px ${FONT}`;
  if (pen.measureText(name).width > SIZE * 1.05) return "";
  pen.fillStyle = color;
  pen.textBaseline = "top";
  pen.fillText(name, 0, 0);
  return canvas.toDataURL();
}
