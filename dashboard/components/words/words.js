// A page image with word boxes: zoom with wheel, buttons, pinch or + and -, move with mouse or arrow keys.
const SVG = "http://www.w3.org/2000/svg"
const MOST_ZOOM = 16
const views = new WeakMap()

function makeView(root) {
  const svg = root.querySelector("svg")
  const box = root.querySelector(".view")
  const tip = root.querySelector(".tip")
  const zoomText = root.querySelector(".zoom")
  const state = { x: 0, y: 0, zoom: 1, width: 1, height: 1, pointers: new Map(), data: null }

  const draw = () => {
    const w = state.width / state.zoom
    const h = state.height / state.zoom
    state.x = Math.min(Math.max(state.x, 0), state.width - w)
    state.y = Math.min(Math.max(state.y, 0), state.height - h)
    svg.setAttribute("viewBox", `${state.x} ${state.y} ${w} ${h}`)
    zoomText.textContent = `${Math.round(state.zoom * 100)} %`
  }

  const scale = () => {
    const area = svg.getBoundingClientRect()
    const w = state.width / state.zoom
    const h = state.height / state.zoom
    const perPixel = Math.max(w / area.width, h / area.height)
    return { area, perPixel, left: state.x + w / 2 - (area.width * perPixel) / 2, top: state.y + h / 2 - (area.height * perPixel) / 2 }
  }

  const zoomAt = (factor, clientX, clientY) => {
    const before = scale()
    const px = before.left + (clientX - before.area.left) * before.perPixel
    const py = before.top + (clientY - before.area.top) * before.perPixel
    const next = Math.min(Math.max(state.zoom * factor, 1), MOST_ZOOM)
    const ratio = state.zoom / next
    state.x = px - (px - state.x) * ratio
    state.y = py - (py - state.y) * ratio
    state.zoom = next
    draw()
  }

  const zoomCentre = factor => {
    const area = svg.getBoundingClientRect()
    zoomAt(factor, area.left + area.width / 2, area.top + area.height / 2)
  }

  const move = (dx, dy) => {
    state.x += dx
    state.y += dy
    draw()
  }

  const showTip = (event, word) => {
    const area = box.getBoundingClientRect()
    const sure = word.confidence === null ? "no confidence given" : `confidence ${word.confidence}`
    tip.textContent = `${word.text} (${sure})`
    tip.hidden = false
    tip.style.left = `${Math.min(event.clientX - area.left + 12, area.width * 0.6)}px`
    tip.style.top = `${Math.max(event.clientY - area.top - 34, 4)}px`
  }

  box.addEventListener("wheel", event => {
    if (!event.ctrlKey && !event.metaKey && state.zoom === 1 && event.deltaY > 0) return
    event.preventDefault()
    zoomAt(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX, event.clientY)
  }, { passive: false })

  box.addEventListener("pointerdown", event => {
    state.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY })
    box.setPointerCapture(event.pointerId)
    box.classList.add("moving")
  })
  const release = event => {
    state.pointers.delete(event.pointerId)
    if (state.pointers.size === 0) box.classList.remove("moving")
  }
  box.addEventListener("pointerup", release)
  box.addEventListener("pointercancel", release)
  box.addEventListener("pointermove", event => {
    const held = state.pointers.get(event.pointerId)
    if (!held) return
    const { perPixel } = scale()
    if (state.pointers.size === 1) {
      move((held.x - event.clientX) * perPixel, (held.y - event.clientY) * perPixel)
    } else {
      const other = [...state.pointers].find(([id]) => id !== event.pointerId)[1]
      const was = Math.hypot(held.x - other.x, held.y - other.y)
      const is = Math.hypot(event.clientX - other.x, event.clientY - other.y)
      if (was > 0) zoomAt(is / was, (event.clientX + other.x) / 2, (event.clientY + other.y) / 2)
    }
    state.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY })
  })

  box.addEventListener("keydown", event => {
    const step = state.width / state.zoom / 10
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }
    if (moves[event.key]) move(...moves[event.key])
    else if (event.key === "+" || event.key === "=") zoomCentre(1.25)
    else if (event.key === "-") zoomCentre(0.8)
    else if (event.key === "0") zoomCentre(1 / MOST_ZOOM)
    else return
    event.preventDefault()
  })

  root.querySelector(".bar").addEventListener("click", event => {
    const button = event.target.closest("button")
    if (!button) return
    if (button.dataset.do === "in") zoomCentre(1.4)
    else if (button.dataset.do === "out") zoomCentre(1 / 1.4)
    else if (button.dataset.do === "fit") zoomCentre(1 / MOST_ZOOM)
    else {
      const bare = svg.classList.toggle("bare")
      button.setAttribute("aria-pressed", String(!bare))
    }
  })

  const fill = data => {
    if (state.data === data.source + data.words.length) return
    state.data = data.source + data.words.length
    Object.assign(state, { width: data.width, height: data.height, zoom: 1, x: 0, y: 0 })
    box.style.height = `${Math.min(data.viewHeight, Math.max(160, (box.clientWidth || 600) * (data.height / data.width)))}px`
    svg.setAttribute("aria-label", data.label)
    svg.replaceChildren()
    const image = document.createElementNS(SVG, "image")
    for (const [name, value] of [["href", data.source], ["width", data.width], ["height", data.height], ["preserveAspectRatio", "none"]]) {
      image.setAttribute(name, value)
    }
    svg.append(image)
    for (const word of data.words) {
      const rect = document.createElementNS(SVG, "rect")
      const [x, y, w, h] = word.box
      for (const [name, value] of [["x", x], ["y", y], ["width", w], ["height", h], ["class", word.band]]) {
        rect.setAttribute(name, value)
      }
      rect.addEventListener("pointerenter", event => showTip(event, word))
      rect.addEventListener("pointerleave", () => { tip.hidden = true })
      svg.append(rect)
    }
    draw()
  }
  return { fill }
}

export default function (component) {
  const { parentElement, data } = component
  if (!views.has(parentElement)) views.set(parentElement, makeView(parentElement))
  views.get(parentElement).fill(data)
}
