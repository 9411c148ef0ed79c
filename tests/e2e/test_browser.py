"""The status page in a real Chromium: read, clicked, filtered, looked at."""

import os

import pytest

from support.browser import Browser
from support.nginx import BUILD
from test_status import mixed                   # noqa: F401

PAGE = "http://127.0.0.1:8080/status"

NAMES = "[...document.querySelectorAll('h2')].map(e => e.textContent)"

# the least contrast of a text with what is behind it (WCAG 2, 1.4.3)
CONTRAST = """(() => {
    const rgb = c => c.match(/[\\d.]+/g).map(Number);
    const light = c => rgb(c).slice(0, 3).map(v => v / 255).map(
        v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
    const behind = e => {
        for (; e; e = e.parentElement) {
            const c = getComputedStyle(e).backgroundColor;
            if (rgb(c).length < 4 || rgb(c)[3] == 1) return c;
        }
        return "rgb(255,255,255)";
    };
    let worst = [99, ""];
    for (const e of document.querySelectorAll("body *")) {
        if (![...e.childNodes].some(
                n => n.nodeType == 3 && n.textContent.trim())
            || !e.getClientRects().length) continue;
        const a = light(getComputedStyle(e).color), b = light(behind(e));
        const c = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        if (c < worst[0]) worst = [c, e.outerHTML.slice(0, 100)];
    }
    return worst;
})()"""


@pytest.fixture
def browser():
    page = Browser()
    yield page
    page.stop()


def names(browser):
    return browser.run(NAMES)


def test_page(mixed, browser):                  # noqa: F811
    browser.size(1200)
    browser.open(PAGE)

    assert browser.run("document.title") == "(3 failing) Certificates"
    assert len(names(browser)) == 4
    assert names(browser)[-1] == "good.example"

    # by a part of a name, with the mouse
    browser.type("input[type=search]", "due")
    browser.click("form button")
    assert names(browser) == ["due.example"]
    assert browser.run("document.querySelector('input[type=search]').value") \
        == "due"

    # by state, a click on how many there are
    browser.click(".tiles .valid")
    assert names(browser) == ["good.example"]
    assert browser.run("document.querySelector('select').value") == "valid"
    assert browser.run(
        "document.querySelector('.valid[aria-current]').textContent") \
        == "1 valid"
    browser.click(".tiles .valid")
    assert len(names(browser)) == 4

    # by keyboard alone
    browser.run("document.querySelector('input[type=search]').focus()")
    browser.call("Input.insertText", text="good")
    browser.key("Enter", 13, load=True)
    assert names(browser) == ["good.example"]

    shown = "document.querySelector('details').open"
    assert browser.run(shown) is False
    browser.run("document.querySelector('summary').focus()")
    browser.key("Enter", 13)
    assert browser.run(shown) is True
    browser.click("summary", load=False)
    assert browser.run(shown) is False

    # no script ran, and its policy had nothing to forbid
    assert browser.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_looks(mixed, browser, width, scheme):  # noqa: F811
    browser.size(width)
    browser.scheme(scheme)
    browser.open(PAGE)

    # the style sheet is in force
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(246, 247, 248)",
                     "dark": "rgb(16, 19, 22)"}[scheme]

    # nothing sticks out, and all can be hit with a finger
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run("[...document.querySelectorAll('button, input, select')]"
                       ".filter(e => e.type != 'hidden')"
                       ".every(e => e.offsetHeight >= 40)")

    # what a bar shows is said as well
    assert browser.run("[...document.querySelectorAll('svg')]"
                       ".every(e => e.getAttribute('aria-label'))")

    browser.run("document.querySelectorAll('details')"
                ".forEach(e => e.open = true)")
    contrast, where = browser.run(CONTRAST)
    assert contrast >= 4.5, where

    os.makedirs(f"{BUILD}/shots", exist_ok=True)
    size = browser.picture(f"{BUILD}/shots/status-{width}-{scheme}.png")
    assert size[0] == width and size[1] >= 900
    assert browser.said == []
