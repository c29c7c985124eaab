"""A page that shows the queue to people: on localhost, and within MCP clients that show pages.

`page.html`, `page.css`, `page.js` (what is shown) and `source.js` (where the numbers come from) become one
document that asks for nothing from anywhere else.
"""
