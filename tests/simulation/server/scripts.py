"""The engine's own Lua, run as Redis runs it: by Lua 5.1, whose `redis.call` reaches our commands."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from lupa.lua51 import LuaRuntime, lua_type

from tests.simulation.server.replies import Refused, Reply, Status

type Execute = Callable[[list[bytes]], Reply]

_PRELUDE = b"""
local run, refuse = ...
local plain_error = error
error = function(why, level)  -- an error reply that a script ends with is its answer
  if type(why) == 'table' then refuse(why.err) end
  plain_error(why, (level or 1) + 1)
end
redis = {
  call = function(...)
    local answer = run(false, ...)
    return answer
  end,
  pcall = function(...)
    local answer = run(true, ...)
    return answer
  end,
  error_reply = function(text) return {err = text} end,
  status_reply = function(text) return {ok = text} end,
  log = function() end,
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
}
return function(answer)  -- all that is in an answer, at once: each look from outside costs as much
  local count = 0
  while answer[count + 1] ~= nil do count = count + 1 end
  return answer.err, answer.ok, unpack(answer, 1, count)
end
"""


class Scripts:
    """One Lua for all servers of this process: what a script leaves behind is only its function."""

    def __init__(self) -> None:
        self._lua = LuaRuntime(encoding=None, register_eval=False)
        self._table = self._lua.table_from
        self._compiled = lru_cache(maxsize=None)(self._lua.compile)
        self._globals = self._lua.globals()
        self._execute: Execute = _nothing
        self._parts_of: Any = self._lua.execute(_PRELUDE, self._call, _refuse)

    def run(
        self, source: bytes, keys: Sequence[bytes], arguments: Sequence[bytes], execute: Execute
    ) -> Reply:
        """Run a script.

        Args:
            source: The script.
            keys: Its KEYS.
            arguments: Its ARGV.
            execute: Executes a command.

        Raises:
            Refused: A command in it was refused, or the script itself failed.
        """
        # What a script says of itself in its first line is for Redis, not for Lua.
        script = self._compiled(b"--" + source if source.startswith(b"#!") else source)
        names = self._globals
        names[b"KEYS"], names[b"ARGV"] = self._table(keys), self._table(arguments)
        self._execute = execute
        answer = script()
        reply: Reply = self._from_lua(answer[0] if type(answer) is tuple else answer)
        return reply

    def _call(self, protected: bool, *words: Any) -> Any:
        try:
            return self._to_lua(self._execute([_word(word) for word in words]))
        except Refused as refused:
            if not protected:
                raise
            return self._table({b"err": refused.text.encode()})

    def _to_lua(self, reply: Any) -> Any:
        kind = type(reply)
        if kind is bytes or kind is int:
            return reply
        if reply is None:
            return False
        if kind is list:
            of, nested = self._table, self._to_lua
            return of([one if (kind := type(one)) is bytes or kind is int else nested(one) for one in reply])
        if kind is Status:
            return self._table({b"ok": bytes(reply)})
        raise TypeError(f"{reply!r} is no answer for a script")

    def _from_lua(self, value: Any) -> Any:
        kind = type(value)
        if kind is bytes or kind is int or value is None:
            return value
        if kind is float or kind is bool:
            return int(value) or (0 if kind is float else None)
        if lua_type(value) != "table":
            raise TypeError(f"{value!r} is no answer of a script")
        error, status, *items = self._parts_of(value)
        if error is not None:
            return Refused(error.decode())
        if status is not None:
            return Status(status)
        nested = self._from_lua
        return [one if (kind := type(one)) is bytes or kind is int else nested(one) for one in items]


def _refuse(text: bytes) -> None:
    raise Refused(text.decode())


def _word(word: Any) -> bytes:
    if type(word) is bytes:
        return word
    if type(word) is int:
        return b"%d" % word
    if type(word) is float:
        return b"%.17g" % word
    raise Refused("ERR Lua redis lib command arguments must be strings or integers")


def _nothing(words: list[bytes]) -> Reply:
    raise RuntimeError(f"no script runs, but {words!r} is called")
