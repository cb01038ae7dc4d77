"""Files that die, hang and take memory, served as those that read videos and HDF5 are."""

import io
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from components.multimodal_example_gen.readers import limited_process
from components.multimodal_example_gen.readers.limited_process import ProcessDiedError, ProcessStalledError

MEMORY = 1 << 30


@pytest.fixture(autouse=True)
def fresh_processes():
    limited_process.stop()
    yield
    limited_process.stop()


@pytest.fixture
def serve(tmp_path):
    """Makes a file of an `answer` with a body; gives what asks it."""

    def serve(body, imports="os"):
        path = tmp_path / "served.py"
        path.write_text(f"import {imports}\n\n\ndef answer(**request):\n    {body}\n")

        def ask(max_seconds=60.0, **request):
            return limited_process.ask(str(path), request, max_seconds, MEMORY)

        return ask

    return serve


def test_dictionary_and_parts_come_as_they_were(serve):
    ask = serve("return {'got': request, 'pid': os.getpid()}, [b'', bytes(range(256)) * 5000, b'\\n{}\\n']")
    answer, parts = ask(name="a\nb \u00fc", numbers=[1, 2.5, None])
    assert answer["got"] == {"name": "a\nb \u00fc", "numbers": [1, 2.5, None]}
    assert parts == [b"", bytes(range(256)) * 5000, b"\n{}\n"]
    # Another process than this one, which is kept.
    assert answer["pid"] == ask()[0]["pid"] != os.getpid()


def test_what_it_prints_is_no_part_of_an_answer(serve):
    ask = serve("print('{}'); os.write(1, b'{}\\n'); os.write(2, b'{}\\n'); return {'a': 1}, []")
    assert ask() == ask() == ({"a": 1}, [])


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("os._exit(3)", "exit code 3"),
        ("raise ValueError('not for a parent')", "exit code 1"),
        ("return {'a': 'x' * (1 << 20)}, []", "more than 1048576 bytes"),
    ],
)
def test_one_that_dies_twice_is_an_error_and_the_next_one_lives(serve, tmp_path, body, how):
    ask = serve(f"open({str(tmp_path / 'asked')!r}, 'a').write('.')\n    {body}")
    with pytest.raises(ProcessDiedError, match=how):
        ask()
    assert (tmp_path / "asked").read_text() == ".."
    assert serve("return {'a': 1}, []")() == ({"a": 1}, [])


def test_one_that_dies_once_is_asked_again(serve, tmp_path):
    mark = str(tmp_path / "died")
    ask = serve(
        f"if not os.path.exists({mark!r}): open({mark!r}, 'w'), os.kill(os.getpid(), 9)\n    return request, []"
    )
    assert ask(number=7) == ({"number": 7}, [])
    assert os.path.exists(mark)


def test_one_that_died_between_two_requests_is_replaced(serve):
    ask = serve("return {'pid': os.getpid()}, []")
    first = ask()[0]["pid"]
    os.kill(first, 9)
    assert ask()[0]["pid"] != first


def test_one_that_hangs_is_ended(serve):
    ask = serve("time.sleep(600)", imports="time")
    started = time.monotonic()
    with pytest.raises(ProcessStalledError, match=r"more than 0\.5 seconds"):
        ask(max_seconds=0.5)
    assert time.monotonic() - started < 60
    assert limited_process._processes() == {}


def test_memory_is_limited(serve):
    ask = serve("bytearray(request['size']); return {}, []")
    assert ask(size=MEMORY // 4) == ({}, [])
    with pytest.raises(ProcessDiedError):
        ask(size=2 * MEMORY)


def test_one_that_hangs_ends_itself_when_nobody_waits(serve, tmp_path):
    serve(f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n    while True: pass")
    # By its own name: the package around it takes long to import.
    script = (
        f"import sys; sys.path.insert(0, {os.path.dirname(limited_process.__file__)!r})\n"
        f"import limited_process; limited_process.ask({str(tmp_path / 'served.py')!r}, {{}}, 0.6, {MEMORY})"
    )
    # Its clock is of processor time, ours of time passed: on a machine under load ours is the first.
    asking = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.01)
    asking.kill()
    asking.wait()
    hanging = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 120
    while is_running(hanging):
        assert time.monotonic() < until
        time.sleep(0.1)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_threads_have_processes_of_their_own(serve):
    ask = serve("return {'pid': os.getpid(), **request}, []")
    found = {}

    def several(name):
        found[name] = [ask(number=number, name=name)[0] for number in range(50)]
        limited_process.stop()

    threads = [threading.Thread(target=several, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, answers in found.items():
        assert [(one["name"], one["number"]) for one in answers] == [(name, number) for number in range(50)]
    assert len({one["pid"] for answers in found.values() for one in answers}) == 3


def test_they_end_with_their_thread_though_nobody_stops_them(serve):
    ask = serve("return {'pid': os.getpid()}, []")
    pids = []
    threads = [threading.Thread(target=lambda: pids.append(ask()[0]["pid"])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until = time.monotonic() + 60
    while any(map(is_running, pids)):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert len(set(pids)) == 3


def test_one_that_is_not_asked_ends_itself_and_is_replaced(serve, monkeypatch):
    monkeypatch.setattr(limited_process, "MAX_IDLE_SECONDS", 1)
    ask = serve("time.sleep(request.get('seconds', 0)); return {'pid': os.getpid()}, []", imports="os, time")
    first = ask()[0]["pid"]
    until = time.monotonic() + 60
    while is_running(first):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert ask()[0]["pid"] != first
    # While it answers it is not idle.
    second = ask(seconds=2)[0]["pid"]
    assert second == ask()[0]["pid"]


def test_an_answer_that_nobody_took_is_never_the_next_ones(serve, monkeypatch):
    ask = serve("return request, []")
    with monkeypatch.context() as patch:
        patch.setattr(limited_process, "_received", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ask(number=1)
    assert ask(number=2) == ({"number": 2}, [])


@pytest.mark.parametrize(
    "line",
    [
        b"no JSON",
        b"[" * 100_000,
        b"[1]",
        b'"sizes"',
        b"{}",
        b'{"sizes": 3}',
        b'{"sizes": [-1]}',
        b'{"sizes": [true]}',
        b'{"sizes": ["3"]}',
        b'{"sizes": [1.0]}',
        json.dumps({"sizes": [60, 60]}).encode(),
    ],
)
def test_an_answer_that_is_none_is_refused(line):
    with pytest.raises(limited_process._NoAnswerError):
        limited_process._received(io.BytesIO(line + b"\n" + b"x" * 200), max_bytes=100)


@pytest.mark.parametrize("data", [b"", b'{"sizes": []}', b'{"sizes": [3, 4]}\nabcdef'])
def test_half_an_answer_is_none(data):
    assert limited_process._received(io.BytesIO(data), max_bytes=100) is None
