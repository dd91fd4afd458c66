// Groovy cells with one binding: "def x =" at the start of a line sets a variable of the binding, methods and imports
// are carried over to later cells.
def cells = new BufferedReader(new FileReader(System.getenv('CELL_IN')))
def answers = new PrintWriter(new FileWriter(System.getenv('CELL_OUT')), true)
def binding = new Binding()
def shell = new GroovyShell(new GroovyClassLoader(), binding)
def imports = new LinkedHashSet()
def declaration = /(?m)^(?:def|int|long|double|float|boolean|String|List|Map|Set|BigDecimal|var)(?:<[^>]*>)?\s+(\w+)\s*=/

def evaluate = { String path ->
  String source = new File(path).text
  source.eachLine { if (it =~ /^import\s/) imports << it.replaceAll(/;?\s*$/, ';') }
  source = source.replaceAll(/(?m)^import\s.*$/, '').replaceAll(declaration, '$1 =')
  def script = shell.parse(imports.join(' ') + source, "Cell${System.nanoTime()}.groovy")
  script.run()
  script.class.declaredMethods
    .findAll { !it.synthetic && !(it.name in ['main', 'run']) && !it.name.contains('$') }
    .each { binding.setVariable(it.name, script.&"${it.name}") }
}

answers.println('ready')
String path
while ((path = cells.readLine()) != null) {
  String word = 'ok'
  try {
    evaluate(path)
  } catch (Throwable thrown) {
    System.err.println(thrown.toString())
    word = 'error'
  }
  System.out.flush()
  System.err.flush()
  answers.println(word)
}
System.exit(0)
