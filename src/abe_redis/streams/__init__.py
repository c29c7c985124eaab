"""Every Redis command that touches a stream is sent from here, one file per family.

redis-py types a reply as the union of all that any protocol and option may answer; where that is
too wide to help, a reply is `Any` here, and the functions' own types say what it is.
"""
