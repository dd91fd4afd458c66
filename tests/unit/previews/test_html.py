"""Pages that stream by: links to the root become relative, everything else stays byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedenv_jupyter.previews.html import HtmlRewriter, Injection
from embedenv_jupyter.previews.links import CssRewriter, Place, Rewriter

PLACE = Place("/a/b?x=/", 5000, "cap")
SCRIPT = "<script>/*ours*/</script>"


def through(rewriter: Rewriter, data: bytes, size: int = 1 << 20) -> bytes:
    pieces = [rewriter.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join([*pieces, rewriter.finish()])


def html(
    text: str, *, place: Place = PLACE, size: int = 1 << 20, injection: Injection = Injection.NEVER
) -> str:
    return through(HtmlRewriter(place, SCRIPT, injection), text.encode(), size).decode()


REPAIRED = [
    ('<link rel=stylesheet href="/static/app.css">', '<link rel=stylesheet href="./../static/app.css">'),
    ("<img src=/logo.png>", "<img src=./../logo.png>"),
    ("<a HREF = '/'>home</a>", "<a HREF = './../'>home</a>"),
    ("<form action='/send?next=/x' method=post>", "<form action='./../send?next=/x' method=post>"),
    ('<img srcset="/1 1x, /2.png 2x" alt="/no">', '<img srcset="./../1 1x, ./../2.png 2x" alt="/no">'),
    ('<p style="background:url(/bg.png)">', '<p style="background:url(./../bg.png)">'),
    ('<p style="b:url(&quot;/bg.png&quot;)">', '<p style="b:url(&quot;./../bg.png&quot;)">'),
    ("<style>@import '/x.css';</style>", "<style>@import './../x.css';</style>"),
    ("<STYLE>b{c:url( /y.png )}</STYLE>", "<STYLE>b{c:url( ./../y.png )}</STYLE>"),
    ('<meta http-equiv=refresh content="3; url=/n">', '<meta http-equiv=refresh content="3; url=./../n">'),
    ('<a href="http://localhost:5000/x">', '<a href="./../x">'),
    ('<a href="http://127.0.0.1:5000">', '<a href="./../">'),
    ('<script src=/app.js type=module></script>', '<script src=./../app.js type=module></script>'),
    ('<object data="/x.svg"></object><p data="/x">', '<object data="./../x.svg"></object><p data="/x">'),
    ('<svg><use xlink:href="/i.svg#a"/></svg>', '<svg><use xlink:href="./../i.svg#a"/></svg>'),
    ('<link href="/a.css" integrity="sha256-x" rel=stylesheet>', '<link href="./../a.css"  rel=stylesheet>'),
    ('<a title=it\'s href="/x">', '<a title=it\'s href="./../x">'),
    ("<a\nb'c href=/x>", "<a\nb'c href=./../x>"),
]  # fmt: skip

LEFT_ALONE = [
    '<a href="x/y"></a><a href="../z"></a><a href="#a"></a><a href="?q"></a><a href=""></a><a href></a>',
    '<a href="https://example.org/x"></a><a href="//cdn.example/x"></a><a href="http://localhost:5001/x"></a>',
    r'<a href="/\evil.example"></a><a href="mailto:a@b"></a><a href="data:text/html,/x"></a>',
    '<!-- <a href="/x"> --><a>',
    '<!--><a>', "<!---><a>",
    '<script>let a = "<a href=\\"/x\\">"; if (a</b) c()</script>',
    '<title><a href="/x"></title><textarea><img src=/x></textarea>',
    '<img srcset="data:image/png;base64,/9j/4AA 1x">',
    "<!doctype html><?php href='/x' ?></ href='/x'>a < b <3 &amp; &#47; <",
    '<link href="https://cdn.example/a.css" integrity="sha256-x">',
    '<a href="/x', "<a href='/x>", "<script>unclosed <a href=/x>", "<!-- unclosed <a href=/x>",
    '<a href="/base/embedenv/previews/cap/x">',
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), REPAIRED)
@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
def test_link_to_the_root_becomes_relative(before: str, after: str, size: int) -> None:
    assert html(f"<p>ü{before}end", size=size) == f"<p>ü{after}end"


@pytest.mark.parametrize("text", LEFT_ALONE)
@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_everything_else_is_left_alone(text: str, size: int) -> None:
    assert html(text, size=size) == text


@pytest.mark.parametrize(
    ("path", "root"), [("/", "./"), ("/a", "./"), ("/a/", "./../"), ("/a/b/c", "./../../"), ("/?/x/", "./")]
)
def test_depth_of_the_page_counts(path: str, root: str) -> None:
    assert Place(path, 5000).moved("/x") == f"{root}x"


def test_base_changes_where_links_count_from() -> None:
    assert html('<base href="/"><a href="/x"><style>a{b:url(/y)}</style>') == (
        '<base href="./../"><a href="./x"><style>a{b:url(./y)}</style>'
    )
    assert html('<base href="c/d/"><a href="/x">') == '<base href="c/d/"><a href="./../../../x">'
    assert html('<base href="https://cdn.example/"><a href="/x">') == (
        '<base href="https://cdn.example/"><a href="/x">'
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "<!doctype html><html><head><title>x</title>",
            f"<!doctype html><html><head>{SCRIPT}<title>x</title>",
        ),
        ("<!doctype html><p>x", f"<!doctype html>{SCRIPT}<p>x"),
        ("<html><body><script>1</script>", f"<html>{SCRIPT}<body><script>1</script>"),
    ],
)
def test_document_gets_the_script_first(before: str, after: str) -> None:
    assert html(before, injection=Injection.ALWAYS) == after
    assert html(before, injection=Injection.IF_DOCUMENT) == after
    assert html(before, injection=Injection.NEVER) == before


def test_fragment_gets_no_script() -> None:
    assert html("<p>x</p>", injection=Injection.IF_DOCUMENT) == "<p>x</p>"


PIECES = st.sampled_from(
    ["<", ">", "</", "/", "!", "--", "-", "<!--", "-->", "a", "p", " ", "\n", "=", '"', "'", "href", "src=/x",
     'href="/y"', "script", "</script>", "<script>", "<style>", "</style>", "url(/z)", "<title>", "</title >",
     "<base href=/q/>", "?", "\x00"]
)  # fmt: skip
SOUP = st.lists(PIECES, max_size=40).map("".join)


@settings(max_examples=500)
@given(SOUP, st.integers(1, 9))
def test_where_the_pieces_are_cut_does_not_matter(text: str, size: int) -> None:
    assert html(text, size=size) == html(text)


@given(SOUP.filter(lambda text: "/" not in text.replace("</", "")), st.integers(1, 9))
def test_what_has_no_link_goes_by_as_it_is(text: str, size: int) -> None:
    assert html(text, size=size) == text


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_go_by(data: bytes, size: int) -> None:
    data = data.replace(b"/", b"")
    assert through(HtmlRewriter(PLACE, SCRIPT, Injection.NEVER), data, size) == data


def test_huge_tag_and_what_follows_go_by() -> None:
    text = '<img src="data:' + "x" * (3 << 20) + '"><a href="/x">'
    assert html(text, size=1 << 16) == text


@pytest.mark.parametrize("size", [1, 5, 200, 1 << 20])
def test_style_sheet(size: int) -> None:
    css = '@import url(/a.css);@import "/b.css";' + "x{y:url('/c.png')}" * 50 + "z{w:url(//cdn/x) url(d.png)}"
    css += "v{u:url(http://localhost:5000/e.png) url(data:image/png;base64,/9j/4)}"
    wanted = '@import url(./../a.css);@import "./../b.css";' + "x{y:url('./../c.png')}" * 50
    wanted += "z{w:url(//cdn/x) url(d.png)}v{u:url(./../e.png) url(data:image/png;base64,/9j/4)}"
    assert through(CssRewriter(PLACE), css.encode(), size).decode() == wanted
