// SPDX-License-Identifier: Apache-2.0
// Goes through a run frame by frame. Text from outside reaches the page as text only, never as markup.
'use strict';
(() => {
  const run = JSON.parse(document.getElementById('run').textContent);
  const at = id => document.getElementById(id);
  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer;
  const x = new Float64Array(bytes(run.x)), fate = new Uint16Array(bytes(run.fate));
  const column = {};
  for (const name in run.columns) column[name] = new Float32Array(bytes(run.columns[name]));
  const stage = at('stage'), slider = at('slider'), facts = at('facts'), ground = at('ground');
  const SVG = 'http://www.w3.org/2000/svg', CHI2_95 = 5.991;
  let order = [], position = 0;

  const all = () => Array.from({length: run.frames}, (_, i) => i);
  const largest = name => all().filter(i => isFinite(column[name][i])).sort((a, b) => column[name][b] - column[name][a]);
  const orders = {
    time: all,
    worst: () => largest('position_m'),
    overconfident: () => largest('nees'),
    dropped: () => all().filter(i => run.fates[fate[i]].startsWith('dropped:')),
  };

  function draw(tag, attributes) {
    const made = document.createElementNS(SVG, tag);
    for (const name in attributes) made.setAttribute(name, attributes[name]);
    stage.appendChild(made);
    return made;
  }

  // the picture of the frame itself, else of the frame before or after it that lies nearest
  function nearest(frame) {
    let best = null;
    for (const one of run.pictures)
      if (best === null || Math.abs(one.frame - frame) < Math.abs(best.frame - frame)) best = one;
    return best;
  }

  function square(layer, css, shift) {
    const half = layer.side_m / 2, east = layer.east_m + shift.east, north = layer.north_m + shift.north;
    draw('image', {class: css, x: east - half, y: -north - half, width: layer.side_m, height: layer.side_m,
      href: layer.jpeg, preserveAspectRatio: 'none'});
  }

  function ellipse(i, size) {
    const ee = column.var_ee[i], en = column.var_en[i], nn = column.var_nn[i];
    if (!isFinite(ee)) return;
    const mean = (ee + nn) / 2, apart = Math.hypot((ee - nn) / 2, en);
    const turn = 0.5 * Math.atan2(2 * en, ee - nn) * 180 / Math.PI;
    draw('ellipse', {class: 'ellipse', rx: Math.sqrt(CHI2_95 * (mean + apart)),
      ry: Math.sqrt(CHI2_95 * Math.max(mean - apart, 0)), transform: `rotate(${-turn})`});
  }

  function arrow(east, north, yaw, css, size) {
    if (!isFinite(east)) return;
    const r = size / 90;
    draw('circle', {class: css, cx: east, cy: -north, r});
    if (isFinite(yaw)) draw('line', {class: css, x1: east, y1: -north,
      x2: east + Math.cos(yaw) * size / 14, y2: -north - Math.sin(yaw) * size / 14});
  }

  function map(i, picture) {
    stage.replaceChildren();
    const own = picture !== null && picture.frame === i;
    let size = 40, center = {east: 0, north: 0};
    if (own && picture.drawn) {
      stage.setAttribute('viewBox', '-20 -20 40 40');
      draw('image', {x: -20, y: -20, width: 40, height: 40, href: picture.drawn});
      return;
    }
    if (picture !== null && picture.tile) {
      const shift = {east: 0, north: 0};
      if (!own) {
        shift.east = (column.right[picture.frame] - column.right[i]) / run.scale;
        shift.north = (column.down[i] - column.down[picture.frame]) / run.scale;
      }
      const east = picture.tile.east_m + shift.east, north = picture.tile.north_m + shift.north;
      if (own || Math.max(Math.abs(east), Math.abs(north)) < picture.tile.side_m / 2) {
        size = picture.tile.side_m;
        center = {east, north};
        square(picture.tile, 'tile', shift);
        if (own && picture.heat && at('heat').checked) square(picture.heat, 'heat', shift);
      }
    }
    stage.setAttribute('viewBox', [center.east - size / 2, -center.north - size / 2, size, size].join(' '));
    ellipse(i, size);
    arrow(column.gnss_east_m[i], column.gnss_north_m[i], NaN, 'gnss', size);
    arrow(column.truth_east_m[i], column.truth_north_m[i], column.truth_yaw_rad[i], 'truth', size);
    if (isFinite(column.yaw_rad[i])) arrow(0, 0, column.yaw_rad[i], 'answer', size);
  }

  const FACTS = [
    ['position error', 'position_m', ' m', 2], ['lateral', 'lateral_m', ' m', 2],
    ['longitudinal', 'longitudinal_m', ' m', 2], ['yaw error', 'yaw_error_deg', '°', 2],
    ['claimed 95 % radius', 'radius_m', ' m', 2], ['NEES (3 dof)', 'nees', '', 1], ['GNSS error', 'gnss_m', ' m', 2],
    ['confidence', 'confidence', '', 2], ['HPD level', 'hpd_level', '', 2], ['speed', 'speed_mps', ' m/s', 1],
    ['latency', 'latency_ms', ' ms', 1],
  ];

  function fact(name, value) {
    const term = document.createElement('dt'), said = document.createElement('dd');
    term.textContent = name;
    said.textContent = value;
    facts.append(term, said);
  }

  function list(i) {
    facts.replaceChildren();
    fact('frame', `${i + 1} of ${run.frames}` + (run.timed ? `, ${x[i].toFixed(1)} s` : ''));
    if (run.keys && run.keys[i]) fact('sample', run.keys[i]);
    fact('status', run.fates[fate[i]]);
    for (const [name, key, unit, digits] of FACTS)
      if (isFinite(column[key][i])) fact(name, column[key][i].toFixed(digits) + unit);
  }

  function camera(i, picture) {
    const shown = picture !== null && picture.ground;
    ground.hidden = !shown;
    if (shown) ground.src = picture.ground;
    at('ground-note').textContent = !shown ? 'no camera picture'
      : picture.frame === i ? '' : `nearest kept picture: frame ${picture.frame + 1}`;
  }

  function follow(i) {
    const trajectory = at('trajectory'), here = trajectory && trajectory.querySelector('.here');
    if (here && isFinite(column.right[i])) {
      here.setAttribute('cx', column.right[i]);
      here.setAttribute('cy', column.down[i]);
    }
    const timeline = at('timeline');
    if (!timeline) return;
    let cursor = timeline.querySelector('.cursor');
    if (!cursor) {
      cursor = document.createElementNS(SVG, 'line');
      cursor.setAttribute('class', 'cursor');
      cursor.setAttribute('y1', 12);
      cursor.setAttribute('y2', timeline.viewBox.baseVal.height - 42);
      timeline.appendChild(cursor);
    }
    const {left, right, last} = timeline.dataset;
    const px = +left + x[i] / +last * (right - left);
    cursor.setAttribute('x1', px);
    cursor.setAttribute('x2', px);
  }

  function show(wanted) {
    position = Math.max(0, Math.min(order.length - 1, wanted));
    slider.value = position;
    const i = order[position];
    if (i === undefined) {
      stage.replaceChildren();
      facts.replaceChildren();
      camera(-1, null);
      at('ground-note').textContent = 'there is no such frame';
      return;
    }
    const picture = nearest(i);
    at('scrubber').dataset.frame = i;
    map(i, picture);
    camera(i, picture);
    list(i);
    follow(i);
  }

  function sort() {
    order = orders[at('order').value]();
    slider.max = Math.max(0, order.length - 1);
    show(0);
  }

  function jump(frame) {
    if (at('order').value !== 'time') {
      at('order').value = 'time';
      sort();
    }
    show(frame);
  }

  slider.addEventListener('input', () => show(+slider.value));
  at('previous').addEventListener('click', () => show(position - 1));
  at('next').addEventListener('click', () => show(position + 1));
  at('order').addEventListener('change', sort);
  at('heat').addEventListener('change', () => show(position));
  document.addEventListener('click', event => {
    const marked = event.target.closest('[data-frame]');
    if (!marked || marked.id === 'scrubber') return;
    jump(+marked.dataset.frame);
    at('scrubber').scrollIntoView({block: 'nearest', behavior: 'smooth'});
  });
  const timeline = at('timeline');
  if (timeline) timeline.addEventListener('click', event => {
    if (event.target.closest('[data-frame]')) return;
    const box = timeline.getBoundingClientRect(), {left, right, last} = timeline.dataset;
    const px = (event.clientX - box.left) / box.width * timeline.viewBox.baseVal.width;
    const wanted = (px - left) / (right - left) * last;
    let best = 0;
    for (let i = 0; i < run.frames; i++) if (Math.abs(x[i] - wanted) < Math.abs(x[best] - wanted)) best = i;
    jump(best);
  });
  const trajectory = at('trajectory');
  if (trajectory) trajectory.addEventListener('click', event => {
    const box = trajectory.getBoundingClientRect(), view = trajectory.viewBox.baseVal;
    const px = (event.clientX - box.left) / box.width * view.width;
    const py = (event.clientY - box.top) / box.height * view.height;
    let best = 0, least = Infinity;
    for (let i = 0; i < run.frames; i++) {
      const distance = Math.hypot(column.right[i] - px, column.down[i] - py);
      if (distance < least) [best, least] = [i, distance];
    }
    jump(best);
  });
  sort();
})();
