// A page image with word boxes: zoom with buttons, Ctrl and wheel, pinch or + and -, move with mouse or arrow keys.
const SVG = "http://www.w3.org/2000/svg"
const MOST_ZOOM = 16
const views = new WeakMap()

function makeView(root) {
  const svg = root.querySelector("svg")
  const box = root.querySelector(".view")
  const tip = root.querySelector(".tip")
  const zoomText = root.querySelector(".zoom")
  // x, y: what of the page stands in the top left corner; scale: pixels of the screen for one of the page.
  const state = { x: 0, y: 0, scale: 1, width: 1, height: 1, pointers: new Map(), data: null }

  const size = () => ({ w: Math.max(box.clientWidth, 1), h: Math.max(box.clientHeight, 1) })
  const wholePage = () => Math.min(size().w / state.width, size().h / state.height)
  const pageWidth = () => Math.max(wholePage(), size().w / state.width)

  const within = (start, seen, all) => (seen >= all ? (all - seen) / 2 : Math.min(Math.max(start, 0), all - seen))

  const draw = () => {
    const { w, h } = size()
    const seenW = w / state.scale
    const seenH = h / state.scale
    state.x = within(state.x, seenW, state.width)
    state.y = within(state.y, seenH, state.height)
    svg.setAttribute("viewBox", `${state.x} ${state.y} ${seenW} ${seenH}`)
    zoomText.textContent = `${Math.round((state.scale / wholePage()) * 100)} %`
  }

  const zoomTo = (scale, clientX, clientY) => {
    const area = svg.getBoundingClientRect()
    const px = state.x + (clientX - area.left) / state.scale
    const py = state.y + (clientY - area.top) / state.scale
    state.scale = Math.min(Math.max(scale, wholePage()), wholePage() * MOST_ZOOM)
    state.x = px - (clientX - area.left) / state.scale
    state.y = py - (clientY - area.top) / state.scale
    draw()
  }

  const zoomAt = (factor, clientX, clientY) => zoomTo(state.scale * factor, clientX, clientY)

  const zoomCentre = factor => {
    const area = svg.getBoundingClientRect()
    zoomAt(factor, area.left + area.width / 2, area.top + area.height / 2)
  }

  const show = scale => {
    Object.assign(state, { scale, x: 0, y: 0 })
    draw()
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
    if (!event.ctrlKey && !event.metaKey) return
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
    if (state.pointers.size === 1) {
      move((held.x - event.clientX) / state.scale, (held.y - event.clientY) / state.scale)
    } else {
      const other = [...state.pointers].find(([id]) => id !== event.pointerId)[1]
      const was = Math.hypot(held.x - other.x, held.y - other.y)
      const is = Math.hypot(event.clientX - other.x, event.clientY - other.y)
      if (was > 0) zoomAt(is / was, (event.clientX + other.x) / 2, (event.clientY + other.y) / 2)
    }
    state.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY })
  })

  box.addEventListener("keydown", event => {
    const step = size().w / state.scale / 10
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }
    if (moves[event.key]) move(...moves[event.key])
    else if (event.key === "+" || event.key === "=") zoomCentre(1.25)
    else if (event.key === "-") zoomCentre(0.8)
    else if (event.key === "0") show(wholePage())
    else return
    event.preventDefault()
  })

  root.querySelector(".bar").addEventListener("click", event => {
    const button = event.target.closest("button")
    if (!button) return
    if (button.dataset.do === "in") zoomCentre(1.4)
    else if (button.dataset.do === "out") zoomCentre(1 / 1.4)
    else if (button.dataset.do === "page") show(wholePage())
    else if (button.dataset.do === "width") show(pageWidth())
    else {
      const bare = svg.classList.toggle("bare")
      button.setAttribute("aria-pressed", String(!bare))
    }
  })

  const fill = data => {
    if (state.data === data.source + data.words.length) return
    state.data = data.source + data.words.length
    Object.assign(state, { width: data.width, height: data.height })
    box.style.height = `${Math.min(data.viewHeight, Math.max(160, size().w * (data.height / data.width)))}px`
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
    show(pageWidth())
  }

  new ResizeObserver(() => {
    if (state.data === null) return
    state.scale = Math.max(state.scale, wholePage())
    draw()
  }).observe(box)
  return { fill }
}

export default function (component) {
  const { parentElement, data } = component
  if (!views.has(parentElement)) views.set(parentElement, makeView(parentElement))
  views.get(parentElement).fill(data)
}
