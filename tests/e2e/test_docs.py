"""The documents say what is so: configurations, directives, messages."""

import glob
import os
import re

import pytest

from support.nginx import MODULES, TOP

DOCS = ["README.md", "CONTRIBUTING.md"] + sorted(
    os.path.relpath(path, TOP) for path in glob.glob(f"{TOP}/docs/*.md"))
REFERENCE = "docs/REFERENCE.md"

# what an indented block of configuration has, and no other has
CONFIGURATION = re.compile(
    r"(?m)^\s*(load_module|http|server|listen|autocert\w*)\b[^|`]*[;{]\s*$")


def read(path):
    with open(f"{TOP}/{path}") as f:
        return f.read()


# blocks

def dedented(lines):
    return "\n".join(line[4:] for line in lines).strip("\n")


def blocks(path):
    """(language or None if it is indented, line, text) of each block."""

    found = []
    fence = None
    indented = []
    after_blank = True

    for n, line in enumerate(read(path).splitlines() + [""], 1):
        if fence:
            if line.strip() == "```":
                found.append((fence[0], fence[1], "\n".join(fence[2])))
                fence = None
            else:
                fence[2].append(line)
            continue

        if line.startswith("```"):
            fence = (line[3:].strip(), n, [])
        elif line.startswith("    ") and (indented or after_blank):
            indented.append(line)
        elif line.strip() == "" and indented:
            indented.append(line)
        elif indented:
            found.append((None, n - len(indented), dedented(indented)))
            indented = []
        after_blank = line.strip() == ""

    if indented:
        found.append((None, n - len(indented), dedented(indented)))

    assert not fence, f"{path}: a fence is left open"
    return found


def configurations():
    for path in DOCS:
        for language, line, text in blocks(path):
            if language == "nginx" \
                    or language is None and CONFIGURATION.search(text):
                yield pytest.param(text, id=f"{path}:{line}")


def inlines():
    """`autocert... ;` in the prose, without what stands for something."""

    for path in DOCS:
        prose = "\n".join(line for line in read(path).splitlines()
                          if not line.startswith(("|", "    ")))
        for text in sorted(set(re.findall(r"`(autocert\w*\s[^`]*;)`", prose))):
            text = " ".join(text.split())
            yield pytest.param(text, id=f"{path}: {text}")


# what it takes to load one

SERVER = """
    server {
        listen 80;
        listen 443 ssl;
        server_name example.com;
        autocert on;
    }
"""


def top_level(text):
    """The names of the directives that are in no block of text."""

    depth = 0
    found = []
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line and depth == 0:
            found.append(line.split()[0].rstrip(";"))
        depth += line.count("{") - line.count("}")
    assert depth == 0, "braces that do not match"
    return found


def complete(text):
    """
    The block with what it leaves out, as what is in http { }; the rest, the
    modules among it, is in the frame.
    """

    modules = re.findall(r"(?m)^load_module (.*);$", text)
    assert [os.path.basename(m) for m in modules] \
        in ([], [os.path.basename(m) for m in MODULES])
    text = re.sub(r"(?m)^load_module .*\n?", "", text)

    text = re.sub(r"(?m)^events {\s*}\n?", "", text)
    names = top_level(text)

    if "http" in names:
        assert names == ["http"]
        return re.sub(r"^\s*http\s*{", "", text, count=1).rpartition("}")[0]
    if "location" in names:
        return SERVER.replace("{", "{\n" + text, 1)
    if "listen" in names or "server_name" in names:
        return "server {\n" + text + "\n}"
    if "server" in names:
        return text
    return text + SERVER


@pytest.fixture
def loads(nginx, authority):
    """nginx -t takes it, and has nothing to warn of."""

    def load(text):
        own = authority.issue("example.com")
        files = {"ssl_certificate": own.pem, "ssl_certificate_key":
                 own.key_pem, "autocert_ca_certificate": authority.pem}

        http = complete(text)
        for name in files:
            http = re.sub(rf"\b({name}\s+)[^\s;$]+;", rf"\1{{dir}}/{name};",
                          http)

        server = nginx(http)
        for name, data in files.items():
            with open(f"{server.dir}/{name}", "wb") as f:
                f.write(data)

        server.allow(".")
        done = server.test()
        assert done.returncode == 0, done.stdout
        assert "[warn]" not in done.stdout
        server.allowed.clear()

    return load


@pytest.mark.parametrize("text", list(configurations()))
def test_block_loads(loads, text):
    loads(text)


@pytest.mark.parametrize("text", list(inlines()))
def test_inline_loads(loads, text):
    if text == "autocert off;":
        text = "server { listen 80; autocert off; }"
    loads(text)


def test_blocks_are_found():
    """The two above look at what they should look at."""

    ids = [p.id for p in configurations()]
    assert [i for i in ids if i.startswith("README.md:")]
    assert len([i for i in ids if i.startswith(REFERENCE)]) \
        > len(commands())
    assert [p.id for p in inlines() if p.id.startswith("README.md")]


@pytest.mark.parametrize("text", ["autocert_key_type rsa;",
                                  "server { listen 443 ssl; }",
                                  "http { autocert_chalenge http-01; }",
                                  "autocert on;\nautocert on;"])
def test_a_wrong_one_does_not_load(loads, text):
    with pytest.raises(AssertionError):
        loads(text)


# directives

def commands():
    """{name: contexts} of the tables of directives in the source."""

    found = {}
    contexts = {"MAIN": "http", "SRV": "server", "LOC": "location",
                "LIF": "if in location"}

    for path in glob.glob(f"{TOP}/src/http/*.c"):
        with open(path) as f:
            entries = re.findall(
                r'\{ ngx_string\("(\w+)"\),\s*([A-Z0-9_|\s]+),', f.read())
        for name, flags in entries:
            if "_CONF" in flags:
                assert name not in found
                found[name] = [
                    contexts[c] for c in
                    re.findall(r"NGX_HTTP_(MAIN|SRV|LOC|LIF)_CONF", flags)]

    assert "autocert" in found
    return found


HEAD = re.compile(r"(?s)```\nSyntax: +(.*?)\nDefault: +(.*?)\n"
                  r"Context: +(.*?)\n```\n(.*)")


def documented():
    """{name: (syntax, default, context, text)} of the reference."""

    found = {}
    for part in re.split(r"(?m)^#+ (?=autocert)", read(REFERENCE))[1:]:
        name, _, text = part.partition("\n")
        head = HEAD.fullmatch(re.split(r"(?m)^# ", text)[0].strip())
        assert head, f"{name}: no syntax, default and context"
        assert name not in found
        found[name] = head.groups()
    return found


def test_each_directive_is_documented():
    assert list(documented()) == sorted(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_directive(loads, name):
    """In the form of nginx.org, true, with an example that has it."""

    syntax, default, context, text = documented()[name]

    for line in syntax.splitlines():
        assert re.fullmatch(rf"\s*{name}( [^;]+)?;", line)

    assert context.split(", ") == commands()[name]

    if default not in ("-", "autocert off;"):
        assert default.startswith(f"{name} ")
        loads(default)

    examples = re.findall(r"(?s)```nginx\n(.*?)```", text)
    assert re.search(rf"(?m)^\s*{name}[\s;]", "\n".join(examples))


@pytest.mark.parametrize("name", sorted(commands()))
def test_choices(loads, name):
    """Words that are offered are taken, and another one is not."""

    syntax = documented()[name][0]
    choices = re.fullmatch(r"\w+ ([\w-]+(?: \| [\w-]+)*);", syntax)
    if not choices:
        return

    given = [c for c in choices[1].split(" | ")
             if c not in ("url", "file", "directory", "time")]
    for choice in given:
        loads(f"{name} {choice};")
    if given:
        with pytest.raises(AssertionError, match="invalid value"):
            loads(f"{name} {given[0]}x;")


@pytest.mark.parametrize("path", ["README.md", REFERENCE])
def test_tables(path):
    """The same directives, contexts and defaults as in the reference."""

    rows = re.findall(r"(?m)^\| [`[](autocert\w*)\b.*? \| "
                      r"((?:http|server)\b.*?) \| (.*) \|$", read(path))
    assert sorted(r[0] for r in rows) == sorted(commands())

    for name, context, default in rows:
        assert context.split(", ") == commands()[name]
        said = documented()[name][1]
        if said != "-" and name != "autocert_path":
            value = said.split(None, 1)[1].rstrip(";")
            assert re.match(rf"{re.escape(value)}\b", default)


@pytest.mark.parametrize("path", DOCS)
def test_no_other_directive_is_named(path):
    """A word autocert_x in backquotes is one of ours, or a file's."""

    for word in re.findall(r"`(autocert_\w+)[ `;]", read(path)):
        assert word in [*commands(), "autocert_challenges"], word


# messages

def literals():
    """Each string of the sources, adjacent ones joined, escapes undone."""

    found = set()
    for path in glob.glob(f"{TOP}/src/*/*.[ch]"):
        with open(path) as f:
            text = re.sub(r"(?s)/\*.*?\*/", "", f.read())
        text = re.sub(r"'(\\.|[^'\\])'", "0", text)
        for m in re.findall(r'(?:"(?:\\.|[^"\\\n])*"[ \t\n]*)+', text):
            s = "".join(re.findall(r'"((?:\\.|[^"\\\n])*)"', m))
            found.add(s.replace('\\"', '"').replace("\\\\", "\\"))
    return found


FORMAT = re.compile(r"%(?:ui|uz|uD|T|M|P|V|s|d|l|i|z|O|uA)")


def patterns():
    """A regular expression for each format of a message of ours."""

    found = []
    for s in literals():
        if s.startswith("autocert: ") and len(FORMAT.sub("", s)) > 14:
            text = [re.escape(piece) for piece in FORMAT.split(s)]
            found.append(re.compile("(.*?)".join(text)))
    assert len(found) > 20
    return found


def quoted(path):
    """The messages in blocks of a document, each on one line."""

    found = []
    for _, _, text in blocks(path):
        for line in text.splitlines():
            if re.match(r"(\[\w+\] )?autocert: ", line):
                found.append(re.sub(r"^\[\w+\] ", "", line))
            elif line.startswith("    ") and found:
                found[-1] += " " + line.strip()
    return found


@pytest.mark.parametrize("path", DOCS)
def test_messages_are_in_the_source(path):
    known = patterns()
    for message in quoted(path):
        assert any(p.match(message) for p in known), message


# pieces of what the README quotes that formats leave open
FRAGMENTS = [
    "creating the order",
    "answering the challenge",
    "finalizing the order",
    "beginning",
    "issued",
    "the CA could not connect to the name",
    "while awaiting the validation",
]


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_fragment(fragment):
    """In what the README quotes, and in the source."""

    text = " ".join(quoted("README.md"))
    assert fragment in text

    text = fragment.removeprefix("while ")
    assert any(text == s for s in literals()), text


GUIDE = "docs/GUIDE.md"


def explained():
    """What the guide has an explanation of: pieces of messages."""

    return re.findall(r"(?m)^\*\*`([^`]+)`\*\*:$", read(GUIDE))


@pytest.mark.parametrize("piece", explained())
def test_explained_message_is_in_the_source(piece):
    assert any(piece in s for s in literals())


def test_messages_are_found():
    assert len(explained()) > 15
    assert len(quoted(GUIDE)) >= 3
    assert len(quoted("README.md")) >= 6
    assert not any(p.match("autocert: no such message") for p in patterns())


# the rest

@pytest.mark.parametrize("path", DOCS)
def test_links(path):
    """Files that are linked to, and headings."""

    for target in re.findall(r"\]\(([^)]+)\)", read(path)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        file = os.path.normpath(os.path.join(os.path.dirname(path), file)) \
            if file else path
        assert os.path.exists(f"{TOP}/{file}"), target
        if anchor:
            headings = re.findall(r"(?m)^#+ (.*)$", read(file))
            assert anchor in [re.sub(r"[^\w -]", "", h).lower()
                              .replace(" ", "-") for h in headings]


@pytest.mark.parametrize("path", DOCS)
def test_files_named(path):
    """Paths of this tree in the prose are there."""

    for name in re.findall(r"\b((?:docs|src|scripts|tests|conf)/[\w./-]*\w)",
                           read(path)):
        assert os.path.exists(f"{TOP}/{name}"), name


def test_make_targets():
    targets = re.findall(r"(?m)^([a-z0-9-]+):", read("Makefile"))
    named = [name for path in DOCS for name in
             re.findall(r"(?:[`(]|&& )make ([a-z0-9-]+)", read(path))]
    assert {"demo", "check", "unit"} <= set(named) <= set(targets)
