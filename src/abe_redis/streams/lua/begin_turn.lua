-- What a change by hand is to name: see `turn`.
--
-- KEYS  the stream, its records
-- Answers the server's time in ms, and the last change of the stream's groups ('': none is known).

-- include: clock
return {now_ms(), redis.call('HGET', KEYS[2], 'changed') or ''}
