-- name: mirror_rules
-- The rules of the file as they are now, and no others.
WITH given AS (
    SELECT name, definition, digest
    FROM unnest(%(name)s::text[], %(definition)s::jsonb[], %(digest)s::text[]) AS t (name, definition, digest)
), gone AS (
    DELETE FROM rules WHERE origin = 'file' AND name NOT IN (SELECT name FROM given)
)
INSERT INTO rules AS known (name, origin, definition, digest)
SELECT name, 'file', definition, digest FROM given ORDER BY name
ON CONFLICT (name, origin) DO UPDATE SET
    definition = excluded.definition, digest = excluded.digest, updated_at = excluded.updated_at
WHERE (known.definition, known.digest) IS DISTINCT FROM (excluded.definition, excluded.digest);

-- name: api_rules
-- The rules that the API made.
SELECT name, definition::text FROM rules WHERE origin = 'api' ORDER BY name COLLATE "C";

-- name: rules_version
-- Something that is another as soon as the API has made, changed or deleted a rule; whether a rule is good has no part.
SELECT count(*), sum(hashtextextended(ROW(name, definition)::text, 0)) FROM rules WHERE origin = 'api';

-- name: api_rule_failed
-- Why a rule that the API made is not used; NULL: it is.
UPDATE rules SET error = %(error)s
WHERE name = %(name)s AND origin = 'api' AND error IS DISTINCT FROM %(error)s;

-- name: list_rules
-- All rules, those of the file and those that the API made, by name; of one name the file's first.
SELECT name, origin, definition, digest, updated_at, error FROM rules ORDER BY name COLLATE "C", origin DESC;

-- name: find_rules
-- The rules of a name, the file's first.
SELECT name, origin, definition, digest, updated_at, error FROM rules WHERE name = %(name)s ORDER BY origin DESC;

-- name: lock_rules
-- Others who would change the rules of the API wait for the end of the transaction; how many there are.
WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended('rules of the API', 0)))
SELECT count(rules.name) FROM locked LEFT JOIN rules ON origin = 'api';

-- name: put_rule
-- A rule of the API, made or changed. Nobody has found anything wrong with it yet.
INSERT INTO rules (name, origin, definition, digest, updated_at)
VALUES (%(name)s, 'api', %(definition)s, %(digest)s, clock_timestamp())
ON CONFLICT (name, origin) DO UPDATE SET
    definition = excluded.definition, digest = excluded.digest, updated_at = excluded.updated_at, error = NULL
RETURNING name, origin, definition, digest, updated_at, error;

-- name: delete_rule
-- A rule of the API is no more.
DELETE FROM rules WHERE name = %(name)s AND origin = 'api';
