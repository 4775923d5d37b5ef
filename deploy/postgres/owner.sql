-- Makes the service's own user: it owns the database, and may do nothing elsewhere. The image runs this once, when it
-- initializes a new volume, as the superuser and in the service's database.
--
-- DATABASE_OWNER, DATABASE_OWNER_PASSWORD: name and password of this user.
\set ON_ERROR_STOP on
\getenv owner DATABASE_OWNER
\getenv password DATABASE_OWNER_PASSWORD
SELECT current_database() AS database \gset

CREATE ROLE :"owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'password';
ALTER DATABASE :"database" OWNER TO :"owner";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
