// A row's classes as lines of a table: the class, its probability as a bar, and what the operation gives for it.

/** A number in as many digits as tell it from its neighbours, and no more than fit a phone. */
export function shown(value) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const text = value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e6)
    ? value.toExponential(4) : String(Number(value.toPrecision(6)));
  return text.replaceAll("-", "−");
}

export function drawBars(body, view, values, count) {
  const order = view.order;
  const probabilities = view.probabilities;
  const largest = probabilities[order[0]];
  body.replaceChildren(...Array.from(order.slice(0, count), (place) => {
    const p = probabilities[place];
    const line = document.createElement("tr");
    const bar = document.createElement("span");
    // Ten ems are for the number beside the longest bar.
    bar.style.width = largest > 0 ? `calc((100% - 7em) * ${p / largest})` : "0";
    const number = document.createElement("span");
    number.textContent = shown(p);
    const both = document.createElement("div");
    both.className = "bar";
    both.append(bar, number);
    const cells = [String(place), both, values ? shown(values[place]) : ""].map((content) => {
      const cell = document.createElement("td");
      cell.append(content);
      return cell;
    });
    line.append(...cells);
    return line;
  }));
}
