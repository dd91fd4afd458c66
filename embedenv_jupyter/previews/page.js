// Runs first in every page of a preview, and leads to the program what its scripts address to the root of
// its server. docs/previews.md says why, and what cannot be done here. ASCII only: the page's encoding is unknown.
(() => {
  'use strict';
  const own = document.currentScript;
  const found = /^(.*?\/embedenv\/previews\/[\w-]+)\//.exec(location.pathname);
  if (!own || !found) {
    return;
  }
  const prefix = found[1];
  const port = own.dataset.embedenvPort;
  own.remove();

  const moved = value => {
    let url;
    try {
      url = new URL(value, document.baseURI);
    } catch {
      return value;
    }
    const isWeb = /^(https?|wss?):$/.test(url.protocol);
    const isProgram = url.port === port && /^(localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])$/.test(url.hostname);
    const isHere = url.host === location.host;
    if (!isWeb || !(isProgram || isHere) || (isHere && `${url.pathname}/`.startsWith(`${prefix}/`))) {
      return value;
    }
    const scheme = url.protocol.startsWith('ws') ? location.protocol.replace('http', 'ws') : location.protocol;
    return `${scheme}//${location.host}${prefix}${url.pathname}${url.search}${url.hash}`;
  };

  // Modules: a script's own imports are found by the browser alone; only an import map reaches them.
  const map = document.createElement('script');
  map.type = 'importmap';
  map.textContent = JSON.stringify({ imports: { '/': `${prefix}/`, [`${prefix}/`]: `${prefix}/` } });
  document.head.append(map);

  // Requests. The page's origin is opaque, so no request of it can carry cookies; asking for them fails.
  const { fetch } = window;
  window.fetch = (input, options) => {
    const without = { ...options, credentials: 'omit' };
    return input instanceof Request
      ? fetch(new Request(moved(input.url), input), without)
      : fetch(moved(input), without);
  };
  const { open } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    return open.call(this, method, moved(url), ...rest);
  };
  Object.defineProperty(XMLHttpRequest.prototype, 'withCredentials', { get: () => false, set: () => {} });
  for (const name of ['WebSocket', 'EventSource']) {
    const Original = window[name];
    window[name] = class extends Original {
      constructor(url, options) {
        super(moved(url), name === 'WebSocket' ? (options ?? []) : {});
      }
    };
  }
  const { sendBeacon } = Navigator.prototype;
  Navigator.prototype.sendBeacon = function (url, data) {
    return sendBeacon.call(this, moved(url), data);
  };
  const openWindow = window.open;
  window.open = (url, ...rest) => openWindow.call(window, url === undefined ? url : moved(url), ...rest);

  // Elements that scripts make: by property, by attribute, and by HTML, which is seen once it is there.
  const links = {
    A: ['href'], AREA: ['href'], LINK: ['href'], SCRIPT: ['src'], IMG: ['src'], IFRAME: ['src'], SOURCE: ['src'],
    VIDEO: ['src', 'poster'], AUDIO: ['src'], TRACK: ['src'], EMBED: ['src'], OBJECT: ['data'], FORM: ['action'],
    INPUT: ['src', 'formaction'], BUTTON: ['formaction']
  };
  const set = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name, value) {
    const isLink = links[this.tagName]?.includes(`${name}`.toLowerCase());
    return set.call(this, name, isLink ? moved(value) : value);
  };
  const properties = { formaction: 'formAction' };
  for (const [tag, names] of Object.entries(links)) {
    for (const name of names) {
      const property = properties[name] ?? name;
      let holder = Object.getPrototypeOf(document.createElement(tag));
      while (holder && !Object.hasOwn(holder, property)) {
        holder = Object.getPrototypeOf(holder);
      }
      const before = holder && Object.getOwnPropertyDescriptor(holder, property);
      if (before?.set && !before.set.isMoving) {
        const setMoved = function (value) {
          before.set.call(this, moved(value));
        };
        setMoved.isMoving = true;
        Object.defineProperty(holder, property, { ...before, set: setMoved });
      }
    }
  }
  const repair = element => {
    for (const name of links[element.tagName] ?? []) {
      const value = element.getAttribute(name);
      if (value !== null && moved(value) !== value) {
        set.call(element, name, moved(value));
      }
    }
  };
  new MutationObserver(changes => {
    for (const { addedNodes } of changes) {
      for (const node of addedNodes) {
        if (node instanceof Element) {
          repair(node);
          node.querySelectorAll(Object.keys(links).join()).forEach(repair);
        }
      }
    }
  }).observe(document, { childList: true, subtree: true });

  // A sandboxed page may keep its state, but not change its path.
  for (const name of ['pushState', 'replaceState']) {
    const original = history[name];
    history[name] = (state, title, url) => {
      try {
        original.call(history, state, title, url === undefined || url === null ? url : moved(url));
      } catch (error) {
        if (error.name !== 'SecurityError') {
          throw error;
        }
        original.call(history, state, title);
      }
    };
  }

  // What an opaque origin has not: as long as the page lives, in its memory.
  const storage = () => {
    const items = new Map();
    return {
      get length() {
        return items.size;
      },
      key: index => [...items.keys()][index] ?? null,
      getItem: key => items.get(`${key}`) ?? null,
      setItem: (key, value) => void items.set(`${key}`, `${value}`),
      removeItem: key => void items.delete(`${key}`),
      clear: () => items.clear()
    };
  };
  const substitutes = { localStorage: storage(), sessionStorage: storage() };
  for (const [name, value] of Object.entries(substitutes)) {
    Object.defineProperty(window, name, { value, configurable: true });
  }
  let cookies = '';
  Object.defineProperty(document, 'cookie', {
    get: () => cookies,
    set: text => {
      const [pair] = `${text}`.split(';');
      const name = pair.split('=')[0].trim();
      const others = cookies.split('; ').filter(other => other && other.split('=')[0] !== name);
      cookies = [...others, pair.trim()].join('; ');
    }
  });
  const refused = () => Promise.reject(new DOMException('A preview has no service workers.', 'SecurityError'));
  Object.defineProperty(navigator, 'serviceWorker', {
    value: {
      controller: null, ready: new Promise(() => {}), register: refused,
      getRegistration: () => Promise.resolve(undefined), getRegistrations: () => Promise.resolve([]),
      addEventListener: () => {}, removeEventListener: () => {}
    }
  });
})();
