"""The engine's own Lua, run as Redis runs it: by Lua 5.1, whose `redis.call` reaches our commands."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from lupa.lua51 import LuaRuntime

from tests.simulation.server.replies import Refused, Reply, Status, Written

type Execute = Callable[[list[bytes]], Reply]

_PRELUDE = b"""
collectgarbage('setpause', 2000)  -- a run leaves little behind, and each search looks at every script
local run, refuse = ...
local plain_error, type, unpack, concat = error, type, unpack, table.concat
error = function(why, level)  -- an error reply that a script ends with is its answer
  if type(why) == 'table' then refuse(why.err) end
  plain_error(why, (level or 1) + 1)
end

-- What a command answers comes as values, since a table that Python makes costs as much as a command: `nil`
-- before rows, each after its length; `true` before the items of a row; `false` before a status; or itself.
local function rows(...)
  local all, found, at = {...}, {}, 1
  while at <= #all do
    found[#found + 1] = {unpack(all, at + 1, at + all[at])}
    at = at + all[at] + 1
  end
  return found
end
local function answered(first, second, ...)
  if first == true then return {second, ...} end
  if first == nil then return rows(second, ...) end
  if first == false and second then return {ok = second} end
  return first
end

redis = {
  call = function(...) return answered(run(false, ...)) end,
  pcall = function(...) return answered(run(true, ...)) end,
  error_reply = function(text) return {err = text} end,
  status_reply = function(text) return {ok = text} end,
  log = function() end,
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
}

-- Writes what a script answers as it goes on the wire.
local function write(value, out)
  local kind = type(value)
  if kind == 'string' then
    out[#out + 1] = '$' .. #value .. '\\r\\n' .. value .. '\\r\\n'
  elseif kind == 'number' then
    out[#out + 1] = (':%.0f\\r\\n'):format(value < 0 and math.ceil(value) + 0 or math.floor(value))
  elseif kind == 'table' then
    if value.err ~= nil then
      out[#out + 1] = '-' .. value.err .. '\\r\\n'
    elseif value.ok ~= nil then
      out[#out + 1] = '+' .. value.ok .. '\\r\\n'
    else
      local count = 0
      while value[count + 1] ~= nil do count = count + 1 end
      out[#out + 1] = '*' .. count .. '\\r\\n'
      for at = 1, count do write(value[at], out) end
    end
  elseif kind == 'boolean' or kind == 'nil' then
    out[#out + 1] = value and ':1\\r\\n' or '$-1\\r\\n'
  else
    plain_error('a script answers a ' .. kind)
  end
end

return function(script, count, ...)
  local words, keys, arguments = {...}, {}, {}
  for at = 1, count do keys[at] = words[at] end
  for at = count + 1, #words do arguments[at - count] = words[at] end
  KEYS, ARGV = keys, arguments
  local out = {}
  write(script(), out)
  return concat(out)
end
"""
_FLAT, _ROWS = frozenset({bytes, int}), frozenset({list})
_PLAIN = _FLAT | {type(None)}


class Scripts:
    """One Lua for all servers of this process: what a script leaves behind is only its function."""

    def __init__(self) -> None:
        self._lua = LuaRuntime(encoding=None, register_eval=False, unpack_returned_tuples=True)
        self._table = self._lua.table_from
        self._compiled = lru_cache(maxsize=None)(self._compile)
        self._execute: Execute = _nothing
        self._start: Any = self._lua.execute(_PRELUDE, self._call, _refuse)

    def run(self, source: bytes, count: int, words: Sequence[bytes], execute: Execute) -> Reply:
        """Run a script.

        Args:
            source: The script.
            count: How many of the words are its KEYS.
            words: Its KEYS, and its ARGV.
            execute: Executes a command.

        Raises:
            Refused: A command in it was refused, or the script itself failed.
        """
        self._execute = execute
        return Written(self._start(self._compiled(source), count, *words))

    def _compile(self, source: bytes) -> Any:
        # What a script says of itself in its first line is for Redis, not for Lua.
        return self._lua.compile(b"--" + source if source.startswith(b"#!") else source)

    def _call(self, protected: bool, *words: Any) -> Any:
        try:
            reply: Any = self._execute([word if type(word) is bytes else _word(word) for word in words])
        except Refused as refused:
            if not protected:
                raise
            return self._table({b"err": refused.text.encode()})
        kind = type(reply)
        if kind is bytes or kind is int:
            return reply
        if reply is None:
            return False
        if kind is list:
            return self._many(reply)
        if kind is Status:
            return False, bytes(reply)
        raise TypeError(f"{reply!r} is no answer for a script")

    def _many(self, reply: list[Any]) -> Any:
        if {*map(type, reply)} != _ROWS:
            return True, *self._row(reply)
        found: list[Any] = [None]
        for row in reply:
            found.append(len(row))
            found += self._row(row)
        return tuple(found)

    def _row(self, row: list[Any]) -> Iterable[Any]:
        kinds = {*map(type, row)}
        if kinds <= _FLAT:
            return row
        if kinds <= _PLAIN:
            return [False if one is None else one for one in row]
        return map(self._item, row)

    def _item(self, one: Any) -> Any:
        """What stands in a row: a table is made here."""
        if type(one) is list:
            return self._table([self._item(each) for each in one])
        return False if one is None else one


def _refuse(text: bytes) -> None:
    raise Refused(text.decode())


def _word(word: Any) -> bytes:
    if type(word) is int:
        return b"%d" % word
    if type(word) is float:
        return b"%.17g" % word
    raise Refused("ERR Lua redis lib command arguments must be strings or integers")


def _nothing(words: list[bytes]) -> Reply:
    raise RuntimeError(f"no script runs, but {words!r} is called")
