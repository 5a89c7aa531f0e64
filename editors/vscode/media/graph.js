// Draws the graph of a program: nodes in ranks, by the longest way from a source. Ranks are columns from left to right, or rows
// from the top where the columns would not fit into the page.
// The page gets { type: 'graph', graph }, { type: 'failed', text } and { type: 'cursor', file, line, column }, and sends
// { type: 'ready' } and { type: 'reveal', place }.

(() => {
  'use strict';

  const NAMESPACE = 'http://www.w3.org/2000/svg';
  const GAP = { ranks: 60, rows: 44, nodes: 22, label: 40, margin: 10 };
  const LINE_HEIGHT = 16;
  const PADDING = 10;
  const TEXT_MAX = 44;
  /** Passes over the ranks that put nodes beside their neighbours. */
  const ORDERING_PASSES = 8;

  const editor = acquireVsCodeApi();
  const notice = document.getElementById('notice');
  const container = document.getElementById('graph');
  const measure = document.createElement('canvas').getContext('2d');

  // The fonts of the style sheet, to measure texts before they are drawn.
  const style = () => getComputedStyle(document.body);
  const FONTS = {
    step: () => `11px ${style().getPropertyValue('--vscode-editor-font-family') || 'monospace'}`,
    name: () => `600 12px ${style().fontFamily}`,
    of: () => `12px ${style().fontFamily}`,
    label: () => `11px ${style().fontFamily}`,
  };

  /** The drawn elements with their places: the innermost one at the cursor is marked. */
  let drawn = [];
  let cursor;

  window.addEventListener('message', ({ data }) => {
    if (data.type === 'graph') {
      show(JSON.parse(data.graph));
    } else if (data.type === 'failed') {
      say(data.text, true);
    } else if (data.type === 'cursor') {
      cursor = data;
      mark();
    }
  });

  function show(graph) {
    if (graph.version !== 1) {
      say(`This preview does not know version ${graph.version} of the graph: update the extension.`, true);
      return;
    }
    const flows = graph.flows.map((flow) => `flow ${flow.name}${flow.delivers ? ` delivers ${flow.delivers}` : ''}`);
    say(graph.errors ? 'The program has errors: the graph shows what is known.' : flows.join('; '), graph.errors);
    container.replaceChildren(draw(graph));
    mark();
  }

  function say(text, wrong) {
    notice.textContent = text;
    notice.classList.toggle('wrong', wrong);
  }

  // ---- Sizes

  function shortened(text) {
    return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX - 1)}…` : text;
  }

  function width(text, font) {
    measure.font = font;
    return measure.measureText(text).width;
  }

  /** Returns a node with its lines of text and its size. */
  function sized(node, index) {
    const lines =
      node.kind === 'steps'
        ? node.steps.map((step) => ({ text: shortened(step.text), full: step.text, kind: 'step', place: step.place }))
        : [{ text: shortened(node.name), full: node.name, kind: 'name' }];
    if (node.of) {
      lines.push({ text: node.added ? `${node.of}, added by the compiler` : node.of, kind: 'of' });
    }
    const widest = Math.max(...lines.map((line) => width(line.text, FONTS[line.kind]())));
    return { node, index, lines, width: widest + 2 * PADDING, height: lines.length * LINE_HEIGHT + PADDING };
  }

  // ---- Layout

  /** Returns the rank of each node: one more than the last of its origins. A circle ends where it began. */
  function ranksOf(count, edges) {
    const into = Array.from({ length: count }, () => []);
    edges.forEach((edge) => into[edge.to].push(edge.from));
    const rank = new Array(count).fill(undefined);
    const visiting = new Set();
    const of = (node) => {
      if (rank[node] !== undefined) {
        return rank[node];
      }
      if (visiting.has(node)) {
        return -1;
      }
      visiting.add(node);
      const found = Math.max(-1, ...into[node].map(of)) + 1;
      visiting.delete(node);
      rank[node] = found;
      return found;
    };
    for (let node = 0; node < count; node += 1) {
      of(node);
    }
    return rank;
  }

  function layOut(graph) {
    const boxes = graph.nodes.map(sized);
    const rankOf = ranksOf(boxes.length, graph.edges);
    const ranks = [];
    boxes.forEach((box) => (ranks[rankOf[box.index]] ??= []).push(box));
    const place = () => ranks.forEach((rank) => rank.forEach((box, at) => (box.order = at / Math.max(1, rank.length - 1 || 1))));
    place();
    for (let pass = 0; pass < ORDERING_PASSES; pass += 1) {
      const forwards = pass % 2 === 0;
      const ordered = forwards ? ranks : [...ranks].reverse();
      for (const rank of ordered) {
        for (const box of rank) {
          const neighbours = graph.edges.flatMap((edge) => {
            const other = forwards ? edge.from : edge.to;
            const own = forwards ? edge.to : edge.from;
            return own === box.index ? [boxes[other].order] : [];
          });
          box.wish = neighbours.length === 0 ? box.order : neighbours.reduce((sum, order) => sum + order, 0) / neighbours.length;
        }
        rank.sort((left, right) => left.wish - right.wish || left.index - right.index);
      }
      place();
    }
    boxes.forEach((box) => (box.label = 0));
    for (const edge of graph.edges.filter((edge) => edge.label)) {
      boxes[edge.to].label = Math.max(boxes[edge.to].label, width(shortened(edge.label), FONTS.label()));
    }
    const labels = Math.max(...boxes.map((box) => box.label)) + GAP.label;
    const isWide = position(ranks, 'width', 'height', Math.max(GAP.ranks, labels)) > window.innerWidth;
    if (isWide) {
      position(ranks, 'height', 'width', GAP.rows);
    }
    return { boxes, isDown: isWide };
  }

  /**
   * Gives each box its place: ranks follow one another along one axis, and their boxes along the other axis, centred. Returns the
   * length of all ranks.
   */
  function position(ranks, along, across, gap) {
    const [first, second] = along === 'width' ? ['x', 'y'] : ['y', 'x'];
    // In rows, the label of a line is above the node that the line leads to.
    const room = (box) => (across === 'width' ? Math.max(box.width, box.label) : box.height);
    const breadth = (rank) => rank.reduce((sum, box) => sum + room(box) + GAP.nodes, -GAP.nodes);
    const broadest = Math.max(0, ...ranks.map(breadth));
    let at = GAP.margin;
    for (const rank of ranks) {
      const longest = Math.max(...rank.map((box) => box[along]));
      let beside = GAP.margin + (broadest - breadth(rank)) / 2;
      for (const box of rank) {
        box[first] = at + (longest - box[along]) / 2;
        box[second] = beside + (room(box) - box[across]) / 2;
        beside += room(box) + GAP.nodes;
      }
      at += longest + gap;
    }
    return at;
  }

  // ---- Drawing

  function element(name, attributes, children = []) {
    const made = document.createElementNS(NAMESPACE, name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    made.append(...children);
    return made;
  }

  function draw(graph) {
    drawn = [];
    const { boxes, isDown } = layOut(graph);
    const drawnLines = graph.edges.map((edge) => drawLine(edge, boxes, isDown));
    const right = Math.max(0, ...boxes.map((box) => box.x + box.width)) + GAP.margin;
    const bottom = Math.max(0, ...boxes.map((box) => box.y + box.height)) + GAP.margin;
    const arrow = element('marker', { id: 'arrow', viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: 'auto' }, [
      element('path', { d: 'M0 0 L8 4 L0 8 z', class: 'arrow' }),
    ]);
    return element('svg', { width: right, height: bottom, role: 'img', 'aria-label': 'The graph of the program' }, [
      element('defs', {}, [arrow]),
      ...drawnLines.map(({ line }) => line),
      ...boxes.map(drawNode),
      ...drawnLines.flatMap(({ label }) => label ?? []),
    ]);
  }

  /** Returns the ends of a line, and a curve between them. */
  function curve(from, to, isDown) {
    if (isDown) {
      const [x1, y1, x2, y2] = [from.x + from.width / 2, from.y + from.height, to.x + to.width / 2, to.y];
      const bend = Math.max(20, Math.abs(y2 - y1) / 2);
      return { x1, y1, x2, y2, d: `M${x1} ${y1} C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}` };
    }
    const [x1, y1, x2, y2] = [from.x + from.width, from.y + from.height / 2, to.x, to.y + to.height / 2];
    const bend = Math.max(24, Math.abs(x2 - x1) / 2);
    return { x1, y1, x2, y2, d: `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` };
  }

  function drawLine(edge, boxes, isDown) {
    const [from, to] = [boxes[edge.from], boxes[edge.to]];
    const { x1, y1, x2, y2, d } = curve(from, to, isDown);
    const line = element('path', {
      class: `line ${edge.kind}`,
      d,
      'marker-end': 'url(#arrow)',
      'data-from': from.node.name,
      'data-to': to.node.name,
    });
    if (!edge.label) {
      return { line };
    }
    const at = isDown ? { x: x2, y: y2 - 14 } : { x: (x1 + x2) / 2, y: (y1 + y2) / 2 + 3 };
    const label = element('text', { class: 'label', ...at, 'text-anchor': 'middle' }, [shortened(edge.label)]);
    if (edge.place) {
      link(label, edge.place, [edge.place]);
    }
    return { line, label };
  }

  function drawNode(box) {
    const { node } = box;
    const shape = element('rect', { x: box.x, y: box.y, width: box.width, height: box.height, rx: node.kind === 'channel' ? box.height / 2 : 4 });
    const texts = box.lines.map((line, at) => {
      const made = element('text', { class: line.kind, x: box.x + PADDING, y: box.y + PADDING + 7 + at * LINE_HEIGHT }, [line.text]);
      if (line.full && line.full !== line.text) {
        made.append(element('title', {}, [line.full]));
      }
      if (line.place) {
        link(made, line.place, [line.place]);
      }
      return made;
    });
    const group = element('g', { class: `node ${node.kind}${node.added ? ' added' : ''}`, 'data-name': node.name }, [shape, ...texts]);
    const places = [node.place, ...node.uses].filter(Boolean);
    if (places.length > 0) {
      link(group, places[0], places);
    }
    return group;
  }

  /** Makes an element lead to a place; it is marked when the cursor is at one of `places`. */
  function link(made, place, places) {
    made.setAttribute('tabindex', '0');
    const reveal = (event) => {
      event.stopPropagation();
      event.preventDefault();
      editor.postMessage({ type: 'reveal', place });
    };
    made.addEventListener('click', reveal);
    made.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' || event.key === ' ') {
        reveal(event);
      }
    });
    drawn.push({ made, places });
  }

  // ---- Cursor

  function contains(place, { file, line, column }) {
    const begins = line > place.line || (line === place.line && column >= place.column);
    const ends = line < place.end_line || (line === place.end_line && column <= place.end_column);
    return place.file === file && begins && ends;
  }

  const length = (place) => place.end - place.start;

  function mark() {
    drawn.forEach(({ made }) => made.classList.remove('current'));
    if (!cursor) {
      return;
    }
    const found = drawn.flatMap(({ made, places }) =>
      places.filter((place) => contains(place, cursor)).map((place) => ({ made, length: length(place) })),
    );
    const shortest = Math.min(...found.map((one) => one.length));
    found.filter((one) => one.length === shortest).forEach(({ made }) => {
      made.classList.add('current');
      made.closest('.node')?.classList.add('current');
      made.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    });
  }

  editor.postMessage({ type: 'ready' });
})();
