
'use strict';
(() => {
  const REFRESH = 2000;   // milliseconds
  const PATIENCE = 5000;  // milliseconds that an answer may take
  const SHOWN = 200;      // rows at most; the filter finds the others
  const MANY = 8;         // rows from which on there is a filter
  const KEPT = 60;        // bitrates that a line is drawn of: two minutes
  const SILENT = 10;      // seconds after which a stream without media is worth a colour

  const $ = (id) => document.getElementById(id);
  const el = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const svg = (tag, attributes) => {
    const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  // Untouched text keeps its selection.
  const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  const count = (n) => n.toLocaleString('en');
  const words = (name) => (name[0].toUpperCase() + name.slice(1)).replaceAll('_', ' ');
  const scaled = (n, units) => {
    let unit = 0;
    while (n >= 999.5 && unit < units.length - 1) { n /= 1000; unit++; }
    return `${unit && n < 99.95 ? n.toFixed(1) : n.toFixed(0)} ${units[unit]}`;
  };
  const bitrate = (n) => scaled(n / 1000, ['kbit/s', 'Mbit/s', 'Gbit/s']);
  const bytes = (n) => scaled(n / 1000, ['kB', 'MB', 'GB', 'TB']);
  const two = (n) => String(n).padStart(2, '0');
  const duration = (s) => {
    const [h, m] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
    return `${h ? `${h}:${two(m)}` : m}:${two(Math.floor(s % 60))}`;
  };
  const milliseconds = (s) => (s < 0.01 ? `${(s * 1000).toFixed(2)} ms` : `${(s * 1000).toFixed(0)} ms`);
  const clock = (date) => date.toLocaleTimeString([], { hour12: false });
  const picture = (s) => (s.width ? `${s.width} × ${s.height}` : '–');
  const detail = (s) => [s.frame_rate && `${s.frame_rate} fps`, s.video_codec].filter(Boolean).join(' · ');

  // What stands in a row: a class, a heading, what it is sorted by, and the text. The heading's "up"
  // is the order of its first click.
  const COLUMNS = [
    { name: 'stream', head: 'Stream', by: (s) => s.username.toLowerCase(), up: true },
    { name: 'number bitrate', head: 'Bitrate', by: (s) => s.bitrate, text: (s) => bitrate(s.bitrate) },
    { name: 'spark', head: '' },
    { name: 'video', head: 'Video', by: (s) => (s.height ?? 0) * 1e3 + (s.frame_rate ?? 0), text: picture, small: detail },
    { name: 'audio', head: 'Audio', by: (s) => s.audio_codec ?? '', text: (s) => s.audio_codec ?? '–', up: true },
    { name: 'number time', head: 'On air', by: (s) => s.seconds },
    { name: 'number received', head: 'Received', by: (s) => s.bytes_in, text: (s) => bytes(s.bytes_in) },
    { name: 'from', head: 'From', by: (s) => s.client_addr, text: (s) => s.client_addr, up: true },
    { name: 'number worker', head: 'Worker', by: (s) => s.worker, text: (s) => String(s.worker), up: true },
  ];

  const rows = new Map();      // what is kept of a stream: its row, once there is one, and its bitrates
  let status = null;           // the last answer
  let answered = 0;            // when it came, in milliseconds of performance.now() …
  let lastAnswer = null;       // … and by the clock
  let order = { column: COLUMNS[0], up: true };

  const key = (s) => `${s.username} ${s.started_at}`;
  const onAir = (s) => s.seconds + (performance.now() - answered) / 1000;

  function remember(streams) {
    const there = new Set();
    for (const stream of streams) {
      const id = key(stream);
      there.add(id);
      const row = rows.get(id) ?? rows.set(id, { bitrates: [] }).get(id);
      row.bitrates.push(stream.bitrate);
      if (row.bitrates.length > KEPT) row.bitrates.shift();
    }
    for (const id of rows.keys()) if (!there.has(id)) rows.delete(id);
  }

  function newRow(stream) {
    const tr = el('tr');
    const cells = COLUMNS.map((column) => {
      const td = tr.appendChild(el('td', column.name));
      td.dataset.head = column.head;
      return td;
    });
    const [name, , spark] = cells;
    const link = name.appendChild(el(stream.playlist ? 'a' : 'span', 'name', stream.username));
    link.title = stream.username;
    if (stream.playlist) link.href = stream.playlist;
    name.append(el('small', '', stream.app));
    const image = svg('svg', { viewBox: `0 0 ${KEPT - 1} 30`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    const [area, line] = [svg('path', { class: 'area' }), svg('path', { class: 'line' })];
    image.append(area, line);
    spark.append(image);
    const texts = COLUMNS.map((column, at) => {
      if (!column.text && column.head !== 'On air') return null;
      return [cells[at].appendChild(el('span')), column.small && cells[at].appendChild(el('small'))];
    });
    return { tr, texts, area, line };
  }

  function draw(row) {
    const top = Math.max(1, ...row.bitrates) * 1.3;
    const points = row.bitrates.map((rate, at) => {
      const x = KEPT - row.bitrates.length + at;
      return `${x} ${(30 - (rate / top) * 28).toFixed(2)}`;
    });
    const line = points.length > 1 ? `M${points.join('L')}` : '';
    row.line.setAttribute('d', line);
    row.area.setAttribute('d', line && `${line}V30H${KEPT - row.bitrates.length}Z`);
  }

  function update(row, stream) {
    COLUMNS.forEach((column, at) => {
      const [text, small] = row.texts[at] ?? [];
      if (column.text) say(text, column.text(stream));
      if (small) say(small, column.small(stream));
    });
    row.time = row.texts[5][0];
    row.tr.classList.toggle('silent', stream.bitrate === 0 && stream.seconds >= SILENT);
    draw(row);
  }

  function showStreams() {
    const wanted = $('filter').value.trim().toLowerCase();
    const matches = (s) => `${s.username} ${s.app} ${s.client_addr}`.toLowerCase().includes(wanted);
    const { by } = order.column;
    const sorted = status.streams.filter(matches).sort((a, b) => {
      const [x, y] = order.up ? [by(a), by(b)] : [by(b), by(a)];
      return x < y ? -1 : x > y ? 1 : a.username < b.username ? -1 : 1;
    });
    const shown = sorted.slice(0, SHOWN).map((stream) => {
      const row = rows.get(key(stream));
      if (!row.tr) Object.assign(row, newRow(stream));
      row.stream = stream;
      update(row, stream);
      return row.tr;
    });
    const body = $('streams').tBodies[0];
    // Rows that stay where they are are not touched.
    shown.forEach((tr, at) => { if (body.rows[at] !== tr) body.insertBefore(tr, body.rows[at] ?? null); });
    while (body.rows.length > shown.length) body.lastElementChild.remove();

    $('nobody').hidden = status.streams.length > 0;
    $('streams').hidden = status.streams.length === 0;
    $('filter').hidden = status.streams.length <= MANY && !wanted;
    const rest = sorted.length - shown.length;
    $('more').hidden = rest === 0 && (shown.length > 0 || !wanted);
    say($('more'), rest ? `${count(rest)} more; the filter finds them.` : 'No stream matches the filter.');
    tick();
  }

  function tick() {
    if (document.body.classList.contains('away')) return;
    for (const { time, stream } of rows.values()) if (time) say(time, duration(onAir(stream)));
  }

  function list(id, entries) {
    const place = $(id);
    const lines = entries.length ? entries : [['None yet', '', 'none']];
    while (place.children.length > lines.length) place.lastElementChild.remove();
    lines.forEach(([name, value, look], at) => {
      const line = place.children[at] ?? place.appendChild(el('div'));
      if (!line.children.length) line.append(el('dt'), el('dd'));
      const [dt, dd] = line.children;
      say(dt, name);
      say(dd, typeof value === 'number' ? count(value) : value);
      line.className = dd.className = look ?? '';
    });
  }

  function showCounters() {
    const { publishes, refusals, ends, store, messages_refused: messages } = status;
    const named = (counts) => Object.entries(counts).map(([name, n]) => [words(name), n]);
    list('publishes', [...named(publishes), ['Messages refused', messages, messages ? 'bad' : '']]);
    list('refusals', named(refusals).map(([name, n]) => [name, n, n && name === 'Unavailable' ? 'bad' : '']));
    list('ends', named(ends).filter(([, n]) => n));
    list('store', [
      ['Keys looked up', store.answers],
      ['Average answer', store.answers ? milliseconds(store.seconds / store.answers) : '–'],
      ['Errors', store.errors, store.errors ? 'bad' : ''],
      ['Room for live streams', status.capacity],
    ]);
  }

  function show(answer) {
    status = answer;
    answered = performance.now();
    remember(status.streams);
    say($('live'), count(status.live));
    say($('live-unit'), status.live === 1 ? 'stream live' : 'streams live');
    say($('bitrate'), bitrate(status.bitrate));
    document.body.classList.remove('away');
    showStreams();
    showCounters();
    document.title = `${count(status.live)} live – Stagedoor`;
    lastAnswer = new Date();
    say($('state'), `Up to date, ${clock(lastAnswer)}`);
  }

  function away(why) {
    document.title = 'No answer – Stagedoor';
    document.body.classList.add('away');
    say($('state'), `No ${why} since ${clock(lastAnswer)}; trying again`);
  }

  async function refresh() {
    try {
      const answer = await fetch('?format=json', { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
      if (!answer.ok) return away(`status (${answer.status})`);
      show(await answer.json());
    } catch {
      away('answer');
    }
  }

  for (const column of COLUMNS) {
    const th = el('th', column.name);
    th.scope = 'col';
    if (column.by) {
      const button = th.appendChild(el('button', '', column.head));
      button.type = 'button';
      button.addEventListener('click', () => {
        order = { column, up: order.column === column ? !order.up : Boolean(column.up) };
        mark();
        showStreams();
      });
    }
    $('streams').tHead.rows[0].append(th);
  }
  function mark() {
    COLUMNS.forEach((column, at) => {
      const th = $('streams').tHead.rows[0].cells[at];
      if (order.column === column) th.ariaSort = order.up ? 'ascending' : 'descending';
      else th.removeAttribute('aria-sort');
    });
  }

  mark();
  $('filter').addEventListener('input', showStreams);
  show(JSON.parse($('data').textContent));
  setInterval(tick, 1000);
  (async () => {
    for (;;) {
      await new Promise((resume) => { setTimeout(resume, REFRESH); });
      await refresh();
    }
  })();
})();
