// What a bundler makes of a picture or a style sheet, for tests: a text.
module.exports = "";
