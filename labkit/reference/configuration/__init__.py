"""Area 6 of the platform: settings from sources in order, and services that follow their changes.

Nothing outside of this package imports it before settings are asked for, but for `running`:
pydantic is slow to load, and neither the server processes nor most notebooks need it.
"""
