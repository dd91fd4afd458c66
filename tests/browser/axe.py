"""What axe-core finds in our widgets, in every theme that JupyterLab brings."""

from __future__ import annotations

from typing import Any

from tests.browser.conftest import THEMES, Shoot, set_theme
from tools import frontend

SOURCE = frontend.LABEXTENSION / "node_modules" / "axe-core" / "axe.min.js"

OURS = "[class*=embedenv-], [id^=embedenv-]"

FIND = """async ([selector, only]) => {
  const isSeen = [...document.querySelectorAll(selector)].some(node => node.checkVisibility());
  if (!isSeen) throw new Error(`nothing is seen that is like ${selector}`);
  const options = { resultTypes: ['violations'], ...(only.length > 0 ? { runOnly: only } : {}) };
  const { violations } = await axe.run({ include: [selector] }, options);
  return violations
    .filter(({ impact }) => impact !== 'minor')
    .flatMap(({ id, impact, nodes }) => nodes.map(({ failureSummary, html, target }) =>
      `${impact} ${id}: ${target} ${html.slice(0, 300)}\\n${failureSummary}`));
}"""


class Examination:
    """Looks at one page as it changes; a picture goes with each look, where somebody wants them."""

    def __init__(self, page: Any, shoot: Shoot) -> None:
        self._page = page
        self._shoot = shoot
        self.problems: list[str] = []

    async def look(self, what: str, selector: str = OURS) -> None:
        """Collect what is moderate or worse in what is like a selector. Themes differ in colours only."""
        page = self._page
        if not await page.evaluate("() => 'axe' in window"):
            frontend.install_packages()
            await page.add_script_tag(content=SOURCE.read_text())
        for theme in THEMES:
            await set_theme(page, theme)
            only = [] if theme == THEMES[0] else ["color-contrast"]
            found = await page.evaluate(FIND, [selector, only])
            self.problems += [f"{what}, {theme}: {each}" for each in found]
        await self._shoot(page, f"access-{what}")
