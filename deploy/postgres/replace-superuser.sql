-- For a volume of a version in which the service's user was the superuser of its server: gives the service a user of the
-- same name without these rights. Run it as that superuser, in the service's database, while the service is stopped:
-- docs/operations.md. The old superuser stays, as it owns the system's catalogs, under another name and cannot log in.
--
-- DATABASE_OWNER, DATABASE_OWNER_PASSWORD: name and password of the service's user.
-- POSTGRES_PASSWORD: the password of the superuser `postgres`, if that does not exist yet.
\set ON_ERROR_STOP on
\getenv owner DATABASE_OWNER
\getenv password DATABASE_OWNER_PASSWORD
\getenv superuser_password POSTGRES_PASSWORD
\set former :owner _superuser
SELECT current_database() AS database, NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'postgres') AS missing \gset
\if :missing
  CREATE ROLE postgres SUPERUSER LOGIN PASSWORD :'superuser_password';
\endif

-- Nobody can rename the user of the session.
\connect :"database" postgres
BEGIN;
ALTER ROLE :"owner" RENAME TO :"former";
ALTER ROLE :"former" NOLOGIN PASSWORD NULL;
CREATE ROLE :"owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'password';
ALTER DATABASE :"database" OWNER TO :"owner";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;

-- REASSIGN OWNED refuses a user that owns system catalogs. A sequence of a column goes with its table.
SELECT format('ALTER TABLE %I.%I OWNER TO %I', schemaname, tablename, :'owner')
  FROM pg_tables WHERE schemaname = 'public' \gexec
SELECT format('ALTER VIEW %I.%I OWNER TO %I', schemaname, viewname, :'owner')
  FROM pg_views WHERE schemaname = 'public' \gexec
SELECT format('ALTER SEQUENCE public.%I OWNER TO %I', relname, :'owner')
  FROM pg_class
  WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype IN ('a', 'i')) \gexec
SELECT format('ALTER ROUTINE %s OWNER TO %I', oid::regprocedure, :'owner')
  FROM pg_proc WHERE pronamespace = 'public'::regnamespace \gexec
COMMIT;
