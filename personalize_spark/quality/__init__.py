"""Quality: a solution version evaluated, two outputs compared, and charts of both."""
